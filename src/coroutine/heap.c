/* heap.c: the deadlines of a loop, in a binary heap: each coroutine knows its place, so that it can be
 * taken out wherever it is. */
#include <errno.h>
#include <string.h>

#include "coroutine/loop.h"
#include "os/os.h"

static void put(struct kin__loop *loop, size_t index, kin_coroutine *coroutine)
{
    loop->heap[index] = coroutine;
    coroutine->heap_index = (uint32_t)index + 1;
}

static void sift_up(struct kin__loop *loop, size_t index, kin_coroutine *coroutine)
{
    while (index > 0 && loop->heap[(index - 1) / 2]->deadline > coroutine->deadline) {
        put(loop, index, loop->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    put(loop, index, coroutine);
}

static void sift_down(struct kin__loop *loop, size_t index, kin_coroutine *coroutine)
{
    for (size_t child; (child = index * 2 + 1) < loop->heap_count; index = child) {
        if (child + 1 < loop->heap_count && loop->heap[child + 1]->deadline < loop->heap[child]->deadline)
            child++;
        if (loop->heap[child]->deadline >= coroutine->deadline) break;
        put(loop, index, loop->heap[child]);
    }
    put(loop, index, coroutine);
}

int kin__heap_add(struct kin__loop *loop, kin_coroutine *coroutine)
{
    if (loop->heap_count == loop->heap_size) {
        size_t size = loop->heap_size != 0 ? loop->heap_size * 2 : 32;
        kin_coroutine **more = size > UINT32_MAX ? NULL : kin__os_malloc(size * sizeof *more);
        if (more == NULL) return -ENOMEM;
        if (loop->heap_count > 0) memcpy(more, loop->heap, loop->heap_count * sizeof *more);
        kin__os_free(loop->heap);
        loop->heap = more;
        loop->heap_size = size;
    }
    sift_up(loop, loop->heap_count++, coroutine);
    return 0;
}

void kin__heap_remove(struct kin__loop *loop, kin_coroutine *coroutine)
{
    size_t index = coroutine->heap_index - 1;
    coroutine->heap_index = 0;
    kin_coroutine *last = loop->heap[--loop->heap_count];
    if (last == coroutine) return;
    sift_down(loop, index, last);
    sift_up(loop, last->heap_index - 1, last);
}

void kin__heap_expire(struct kin__loop *loop)
{
    kin_deadline now = kin__os_clock();
    while (loop->heap_count > 0 && loop->heap[0]->deadline <= now) {
        kin_coroutine *due = loop->heap[0];
        kin__heap_remove(loop, due);
        due->timed_out = true;
        kin__ready(due);
    }
}
