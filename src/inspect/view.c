/* view.c: see view.h. */
#include "inspect/view.h"

#include <errno.h>

#include <kin/error.h>

#include "memory/heap.h"
#include "os/os.h"
#include "os/search.h"

#define FIRST_OBJECT (KIN__CLASSES_SMALL + KIN__CLASSES_LARGE)
/* What grow.c makes of spans of small blocks. */
#define SPAN_PAGES_MOST 16

int kin__view_open(struct kin__view *view, int descriptor)
{
    struct kin__header *header = &view->header;
    uint64_t device;
    int rc = kin__os_file_identity(descriptor, &device, &view->inode, &view->size);
    if (rc < 0 || kin__os_read_at(descriptor, header, sizeof *header, 0) < 0 ||
        header->magic != KIN__MAGIC_REGION)
        return -EBADF;
    header->name.text[KIN_NAME_SIZE - 1] = '\0';
    view->descriptor = descriptor;
    view->base = (uintptr_t)header->base;
    if (header->layout_version != KIN__LAYOUT_VERSION || header->layout_check != kin__region_layout_check() ||
        header->size != view->size || view->size < KIN__REGION_LEAST || view->size > KIN__REGION_MOST ||
        view->base == 0 || view->base % KIN__PAGE_SIZE != 0 || view->base > UINT64_MAX - view->size)
        return KIN_ELAYOUT;
    kin__region_layout(header, view->size);
    return 0;
}

bool kin__view_read(const struct kin__view *view, uint64_t address, void *copy, size_t size)
{
    uint64_t offset = address - view->base;
    return offset < view->size && size <= view->size - offset &&
           kin__os_read_at(view->descriptor, copy, size, offset) == 0;
}

bool kin__view_same(const struct kin__view *view, uint64_t address, uint64_t word)
{
    uint64_t again;
    return kin__view_read(view, address, &again, sizeof again) && again == word;
}

static bool read_page(const struct kin__view *view, uint32_t page, struct kin__page *copy)
{
    uint64_t place = view->base + view->header.pages_offset + (uint64_t)page * sizeof *copy;
    return page < view->header.heap_pages && kin__view_read(view, place, copy, sizeof *copy);
}

static uint64_t page_address(const struct kin__view *view, uint32_t page)
{
    return view->base + view->header.heap_offset + ((uint64_t)page << KIN__PAGE_SHIFT);
}

void *kin__view_room(size_t size, void **whole)
{
    *whole = kin__os_malloc(size + 63);
    return *whole == NULL ? NULL : (void *)(((uintptr_t)*whole + 63) & ~(uintptr_t)63);
}

static uint64_t object_size(size_t size)
{
    return (size + sizeof(uint64_t) + 63) & ~(uint64_t)63;
}

/* Is it the first page of a span of blocks of that size, all of which lie in it? */
static bool is_sound(const struct kin__page *span, unsigned class_index, uint64_t size)
{
    uint64_t bytes = (uint64_t)span->pages << KIN__PAGE_SHIFT;
    return span->class_index == class_index && span->pages >= 1 && span->pages <= SPAN_PAGES_MOST &&
           size != 0 && span->data < bytes && span->data % 64 == 0 &&
           span->block_count <= span->data / sizeof(uint32_t) &&
           span->block_count <= (bytes - span->data) / size;
}

/* Shows what is allocated in a span, of which `memory` is the copy. */
static int show_span(struct kin__view *view, uint32_t page, const struct kin__page *span, uint64_t size,
                     char *memory, kin__view_look *look, void *context)
{
    uint32_t carved = span->carved < span->block_count ? span->carved : span->block_count;
    const uint32_t *states = (const uint32_t *)(const void *)memory;
    int rc = 0;
    if (!kin__view_read(view, page_address(view, page), memory, span->data + carved * size)) return 0;
    for (uint32_t number = 0; number < carved && rc == 0; number++) {
        uint64_t offset = span->data + number * size;
        if (kin__block_is_allocated(&states[number]))
            rc = look(view, page_address(view, page) + offset, memory + offset, context);
    }
    return rc;
}

int kin__view_objects(struct kin__view *view, enum kin__object_kind kind, size_t size, kin__view_look *look,
                      void *context)
{
    unsigned class_index = FIRST_OBJECT + (unsigned)kind;
    const struct kin__class *class = &view->header.allocator.classes[class_index];
    uint64_t block = object_size(size);
    if (class->spans == 0) return 0;
    if (class->block_size != block) return KIN_ELAYOUT;
    void *whole;
    char *memory = kin__view_room((size_t)SPAN_PAGES_MOST << KIN__PAGE_SHIFT, &whole);
    if (memory == NULL) return -ENOMEM;
    int rc = 0;
    /* The newest span comes first, and pages are taken upwards: a list that goes up again is none. */
    for (uint32_t next = class->spans, last = UINT32_MAX; rc == 0 && next != 0 && next < last;) {
        struct kin__page span;
        if (!read_page(view, next - 1, &span) || !is_sound(&span, class_index, block)) break;
        rc = show_span(view, next - 1, &span, block, memory, look, context);
        last = next;
        next = span.next_span;
    }
    kin__os_free(whole);
    return rc;
}

bool kin__view_find(const struct kin__view *view, uint64_t address, enum kin__object_kind *kind,
                    uint64_t *object)
{
    struct kin__page span;
    uint64_t heap = page_address(view, 0), offset = address - heap;
    if (address < heap || offset >> KIN__PAGE_SHIFT >= view->header.heap_pages ||
        !read_page(view, (uint32_t)(offset >> KIN__PAGE_SHIFT), &span) || span.head == 0)
        return false;
    uint32_t first = span.head - 1;
    if (!read_page(view, first, &span) || span.class_index < FIRST_OBJECT || span.class_index >= KIN__CLASSES)
        return false;
    uint64_t size = view->header.allocator.classes[span.class_index].block_size;
    if (address < page_address(view, first) || !is_sound(&span, span.class_index, size)) return false;
    offset = address - page_address(view, first);
    if (offset < span.data || (offset - span.data) / size >= span.block_count) return false;
    *kind = (enum kin__object_kind)(span.class_index - FIRST_OBJECT);
    *object = address - (offset - span.data) % size;
    return true;
}
