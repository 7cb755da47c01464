/* program.c: see program.h.  The objects are those that the dynamic linker knows; the first of them
 * is the program. */
#define _GNU_SOURCE
#include "os/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>

#include "os/fault.h"

/* ---- where an address is ---------------------------------------------------------------------- */

struct search {
    uintptr_t address;
    bool code;     /* in code alone, not in constants */
    unsigned seen; /* objects */
    struct kin__program_place *place;
    int rc;
};

/* In code, or in a segment that is never written: every process of the program has the same there. */
static bool has(const struct dl_phdr_info *object, uintptr_t address, bool code)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD) continue;
        if (code ? (segment->p_flags & PF_X) == 0 : (segment->p_flags & PF_W) != 0) continue;
        if (address - (object->dlpi_addr + segment->p_vaddr) < segment->p_memsz) return true;
    }
    return false;
}

static int find_code(struct dl_phdr_info *object, size_t size, void *context)
{
    const struct search *search = context;
    (void)size;
    return has(object, search->address, search->code);
}

int kin__os_is_code(const void *address)
{
    /* Most programs start one function again and again; its page need not be looked up twice. */
    static uintptr_t known_page;
    struct search search = {.address = (uintptr_t)address, .code = true};
    uintptr_t page = (uintptr_t)address >> 12;
    if (page == 0) return 0;
    if (page == __atomic_load_n(&known_page, __ATOMIC_RELAXED)) return 1;
    if (dl_iterate_phdr(find_code, &search) == 0) return 0;
    __atomic_store_n(&known_page, page, __ATOMIC_RELAXED);
    return 1;
}

/* ---- build ids -------------------------------------------------------------------------------- */

static size_t aligned(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

static const uint8_t *id_in(const char *note, size_t size, uint32_t *id_size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *header = (const void *)note;
        size_t whole = sizeof *header + aligned(header->n_namesz) + aligned(header->n_descsz);
        if (whole > size) return NULL;
        if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == sizeof "GNU" &&
            memcmp(header + 1, "GNU", sizeof "GNU") == 0) {
            *id_size = header->n_descsz;
            return (const uint8_t *)(header + 1) + aligned(header->n_namesz);
        }
        note += whole;
        size -= whole;
    }
    return NULL;
}

/* Copies the object's build id, at most KIN__BUILD_ID_MOST bytes of it; 0 bytes: it has none. */
static void read_id(const struct dl_phdr_info *object, struct kin__program_place *place)
{
    place->id_size = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uint32_t size = 0;
        if (segment->p_type != PT_NOTE) continue;
        const char *notes = (const char *)(object->dlpi_addr + segment->p_vaddr);
        const uint8_t *id = id_in(notes, segment->p_memsz, &size);
        if (id == NULL) continue;
        place->id_size = size < KIN__BUILD_ID_MOST ? size : KIN__BUILD_ID_MOST;
        memcpy(place->id, id, place->id_size);
        return;
    }
}

/* ---- from an address to a place, and back ------------------------------------------------------- */

static int describe(struct dl_phdr_info *object, size_t size, void *context)
{
    struct search *search = context;
    struct kin__program_place *place = search->place;
    (void)size;
    bool library = search->seen++ > 0;
    if (!has(object, search->address, search->code)) return 0;
    memset(place, 0, sizeof *place);
    place->library = library;
    place->offset = search->address - object->dlpi_addr;
    read_id(object, place);
    search->rc = 0;
    if (!library) return 1;
    size_t length = strnlen(object->dlpi_name, sizeof place->path);
    if (place->id_size == 0 || length == 0 || length == sizeof place->path)
        search->rc = KIN_EFUNCTION;
    else
        memcpy(place->path, object->dlpi_name, length);
    return 1;
}

int kin__os_place_of(const void *address, struct kin__program_place *place)
{
    struct search search = {.address = (uintptr_t)address, .place = place, .rc = -ENOENT};
    dl_iterate_phdr(describe, &search);
    return search.rc;
}

struct lookup {
    const struct kin__program_place *place;
    unsigned seen;
    uintptr_t found; /* 0: not here */
};

static int compare(struct dl_phdr_info *object, size_t size, void *context)
{
    struct lookup *lookup = context;
    struct kin__program_place here = {0};
    (void)size;
    bool library = lookup->seen++ > 0;
    if (library != lookup->place->library) return 0;
    read_id(object, &here);
    if (here.id_size != lookup->place->id_size || memcmp(here.id, lookup->place->id, here.id_size) != 0)
        return 0;
    uintptr_t address = object->dlpi_addr + lookup->place->offset;
    if (has(object, address, false)) lookup->found = address;
    return 1;
}

const void *kin__os_place_loaded(const struct kin__program_place *place)
{
    struct lookup lookup = {.place = place};
    dl_iterate_phdr(compare, &lookup);
    return (const void *)lookup.found;
}

int kin__os_place_find(const struct kin__program_place *place, const void **address)
{
    *address = kin__os_place_loaded(place);
    if (*address == NULL && place->library && dlopen(place->path, RTLD_NOW) != NULL)
        *address = kin__os_place_loaded(place);
    return *address == NULL ? KIN_EFUNCTION : 0;
}

/* ---- images ----------------------------------------------------------------------------------- */

/* The program, the kernel's own library, and the first of others: what is loaded later is not the same
 * in all that were forked before. */
#define IMAGE_OBJECTS 3

struct view {
    unsigned seen;
    struct kin__image image;
};

static int view_object(struct dl_phdr_info *object, size_t size, void *context)
{
    struct view *view = context;
    struct kin__program_place place = {0};
    (void)size;
    if (view->seen == 0) {
        view->image.base = object->dlpi_addr;
        read_id(object, &place);
        for (uint32_t i = 0; i < place.id_size; i++)
            view->image.program = view->image.program * 0x100000001b3u + place.id[i] + 1;
    }
    view->image.layout = view->image.layout * 0x9e3779b97f4a7c15u + object->dlpi_addr + 1;
    return ++view->seen == IMAGE_OBJECTS;
}

const struct kin__image *kin__os_image(void)
{
    static struct kin__image image;
    static _Atomic int state; /* 0: not made; 1: in the making; 2: made */
    static _Thread_local struct view view;
    if (__builtin_expect(atomic_load_explicit(&state, memory_order_acquire) == 2, 1)) return &image;
    view = (struct view){0};
    dl_iterate_phdr(view_object, &view);
    int none = 0;
    if (atomic_compare_exchange_strong(&state, &none, 1)) {
        image = view.image;
        atomic_store_explicit(&state, 2, memory_order_release);
    }
    /* Whoever makes it has found the same. */
    return &view.image;
}

static int find_own_code(struct dl_phdr_info *object, size_t size, void *context)
{
    const struct search *search = context;
    (void)size;
    return has(object, search->address, true) ? 1 : 2;
}

int kin__os_is_own_code(const void *address)
{
    struct search search = {.address = (uintptr_t)address};
    return dl_iterate_phdr(find_own_code, &search) == 1;
}

const void *kin__os_translate(const void *address, const struct kin__image *image)
{
    const struct kin__image *own = kin__os_image();
    if (image->program == 0 || image->program != own->program) return NULL;
    const void *here = (const void *)(uintptr_t)((uintptr_t)address - image->base + own->base);
    return kin__os_is_own_code(here) ? here : NULL;
}

/* ---- libraries by name ---------------------------------------------------------------------------- */

int kin__os_symbol_find(const char *library, const char *symbol, const void **address, char *why, size_t size)
{
    void *handle = dlopen(library, RTLD_NOW);
    void *found = handle != NULL ? dlsym(handle, symbol) : NULL;
    if (found == NULL) {
        const char *words = dlerror();
        /* Copied: the closing ends them. */
        snprintf(why, size, "%s", words != NULL ? words : "the symbol is NULL");
        if (handle != NULL) dlclose(handle);
        return KIN_EFUNCTION;
    }
    *address = found;
    return 0;
}
