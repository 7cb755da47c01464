/* imap.c: a function over a stream of inputs, within a window.
 *
 * Inputs are gathered into chunks, each of which is a task.  When an item of a chunk fails, those
 * before it are done, it is the one that failed, and those after it become a chunk of their own: no
 * item is run for another's failure, and none is charged with it.  They were handed in, so they come in
 * without waiting for room, and also when the pool is closed.
 *
 * Invariants:
 *  - Chunks on the way are in `chunk`, in the order of their inputs; each has at least one item whose
 *    outcome was not handed out.
 *  - What was pulled from the inputs and is not handed to the pool yet is in `gathered`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kin/error.h>
#include <kin/imap.h>

#include "os/os.h"
#include "pool/pool.h"

#define WINDOW_DEFAULT 1000
#define BYTES_DEFAULT  ((size_t)64 << 20)
#define CHUNKS_FIRST   64
/* A chunk is to take about so long: much more than its task costs, little enough to share. */
#define CHUNK_NS (500 * 1000LL)

/* PRIVATE.
 *   rest   the one taken last has failed, and those after it are not handed in again yet.
 *   end    why they will not be; NONE: they may. */
struct chunk {
    kin_result *result;
    uint64_t first; /* number of its first item */
    size_t items, taken;
    size_t bytes;
    bool rest;
    enum kin_cause end;
};

struct kin_imap {
    kin_pool *pool;
    kin_function function;
    kin_input_function *next;
    void *context;
    kin_imap_options options;
    kin_task_options task;

    struct chunk *chunk; /* with room for `room` of them; never more than the window's */
    size_t chunks, room;
    size_t items, bytes; /* on the way, not handed out */
    uint64_t pulled;
    long end; /* what the inputs ended with; 0: they have not */

    char *gathered;
    size_t gathered_bytes, gathered_items, gathered_capacity;
    size_t chunk_items;

    kin_result *shown; /* whose outcome was handed out last */
    uint64_t index;
    bool any;
    kin_failure failure;
};

long kin_input_items(void *context, const void **input)
{
    kin_items *items = context;
    if (items == NULL || input == NULL) return -EINVAL;
    if (items->next >= items->count) return KIN_EMPTY;
    *input = (const char *)items->items + items->next++ * items->size;
    return (long)items->size;
}

int kin_imap_open_sized(kin_imap **imap, kin_pool *pool, const kin_function *function,
                        kin_input_function *next, void *context, const kin_imap_options *options, size_t size)
{
    int rc = kin__pool_check(pool);
    if (rc == 0) rc = kin__pool_accepts(pool, KIN_NOW);
    if (rc < 0) return rc;
    if (imap == NULL || function == NULL || next == NULL || (next == kin_input_items && context == NULL) ||
        (function->range == NULL) == (function->bytes == NULL))
        return -EINVAL;
    kin_imap_options given = {0};
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    if (given.timeout_ns < 0 || given.retries < -1) return -EINVAL;
    kin_imap *made = kin__os_calloc(1, sizeof *made);
    if (made == NULL) return -ENOMEM;
    made->options = given;
    if (made->options.window == 0) made->options.window = WINDOW_DEFAULT;
    if (made->options.max_bytes == 0) made->options.max_bytes = BYTES_DEFAULT;
    if (made->options.timeout_ns != 0 || function->bytes != NULL) made->options.chunk = 1;
    made->chunk_items = made->options.chunk != 0 ? made->options.chunk : 1;
    made->pool = pool;
    made->function = *function;
    made->next = next;
    made->context = context;
    made->task = (kin_task_options){.timeout_ns = made->options.timeout_ns, .retries = made->options.retries};
    *imap = made;
    return 0;
}

/* ---- inputs ------------------------------------------------------------------------------------------- */

/* Pulls one input; false when there is none for now. */
static bool pull(kin_imap *imap)
{
    const void *input = NULL;
    if (imap->end != 0) return false;
    if (imap->items + imap->gathered_items >= imap->options.window) return false;
    if (imap->items + imap->gathered_items > 0 &&
        imap->bytes + imap->gathered_bytes >= imap->options.max_bytes)
        return false;
    long size = imap->next(imap->context, &input);
    if (size >= 0 && imap->function.range != NULL && (size_t)size != imap->function.in_size) size = -EINVAL;
    if (size >= 0 && imap->gathered_bytes + (size_t)size > imap->gathered_capacity) {
        size_t capacity = (imap->gathered_bytes + (size_t)size) * 2;
        char *grown = kin__os_realloc(imap->gathered, capacity);
        if (grown == NULL) size = -ENOMEM;
        if (grown != NULL) imap->gathered = grown, imap->gathered_capacity = capacity;
    }
    if (size < 0) {
        imap->end = size;
        return false;
    }
    if (size > 0) memcpy(imap->gathered + imap->gathered_bytes, input, (size_t)size);
    imap->gathered_bytes += (size_t)size;
    imap->gathered_items++;
    imap->pulled++;
    return true;
}

/* Room for one more chunk. */
static int make_room(kin_imap *imap)
{
    if (imap->chunks < imap->room) return 0;
    size_t room = imap->room == 0 ? CHUNKS_FIRST : imap->room * 2;
    struct chunk *grown = kin__os_realloc(imap->chunk, room * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    imap->chunk = grown;
    imap->room = room;
    return 0;
}

/* Hands what was gathered to the pool. */
static int send(kin_imap *imap, kin_deadline deadline)
{
    struct chunk chunk = {.first = imap->pulled - imap->gathered_items,
                          .items = imap->gathered_items,
                          .bytes = imap->gathered_bytes};
    int rc = make_room(imap);
    if (rc == 0)
        rc = kin__submit_items(imap->pool, &chunk.result, &imap->function, imap->gathered,
                               imap->gathered_bytes, imap->function.range != NULL ? imap->gathered_items : 1,
                               deadline, &imap->task);
    if (rc < 0) return rc;
    if (imap->options.unordered) kin__result_watch(chunk.result);
    imap->chunk[imap->chunks++] = chunk;
    imap->items += chunk.items;
    imap->bytes += chunk.bytes;
    imap->gathered_items = imap->gathered_bytes = 0;
    return 0;
}

/* Hands over as much as the window and the pool's queue allow; waits only when nothing is on the way. */
static int fill(kin_imap *imap, kin_deadline deadline)
{
    for (;;) {
        while (imap->gathered_items < imap->chunk_items && pull(imap))
            ;
        if (imap->gathered_items == 0) return 0;
        int rc = send(imap, imap->chunks > 0 ? KIN_NOW : deadline);
        if (rc == -ETIMEDOUT && imap->chunks > 0) return 0;
        if (rc < 0) return rc;
    }
}

/* ---- outcomes ----------------------------------------------------------------------------------------- */

static void forget_shown(kin_imap *imap)
{
    if (imap->shown != NULL) kin_result_close(imap->shown);
    imap->shown = NULL;
}

static void learn(kin_imap *imap, const struct chunk *chunk)
{
    if (imap->options.chunk != 0) return;
    size_t most = imap->options.window / (2 * kin__pool_room(imap->pool)), wanted = imap->chunk_items * 2;
    int64_t ran = chunk->result->ran_ns / (int64_t)chunk->items;
    if (chunk->items > 1 && ran > 0 && (size_t)(CHUNK_NS / ran) < wanted) wanted = (size_t)(CHUNK_NS / ran);
    if (wanted > most) wanted = most;
    imap->chunk_items = wanted > 0 ? wanted : 1;
}

static void remove_chunk(kin_imap *imap, size_t place)
{
    imap->chunks--;
    memmove(&imap->chunk[place], &imap->chunk[place + 1], (imap->chunks - place) * sizeof *imap->chunk);
}

/* Those after the one that failed are run by a task of their own, which takes the chunk's place. */
static int go_on(kin_imap *imap, struct chunk *chunk)
{
    size_t size = imap->function.in_size, left = chunk->items - chunk->taken;
    kin_result *rest = NULL;
    int rc = kin__submit_rest(imap->pool, &rest, &imap->function,
                              (const char *)kin__record_argument(chunk->result) + chunk->taken * size,
                              left * size, left, &imap->task);
    if (rc == KIN_ECLOSED || rc == KIN_EBROKEN) {
        chunk->end = rc == KIN_EBROKEN ? KIN_CAUSE_SUPERVISOR : KIN_CAUSE_TERMINATED;
        rc = 0;
    }
    if (rc < 0) return rc;
    chunk->rest = false;
    if (rest == NULL) return 0;
    if (imap->options.unordered) kin__result_watch(rest);
    kin_result_close(chunk->result);
    *chunk = (struct chunk){
        .result = rest, .first = chunk->first + chunk->taken, .items = left, .bytes = left * size};
    return 0;
}

static void tell_failure(kin_imap *imap, const struct chunk *chunk)
{
    kin_failure *failure = &imap->failure;
    if (chunk->end == KIN_CAUSE_NONE) {
        kin_result_failure(chunk->result, failure);
    } else {
        *failure = (kin_failure){.cause = chunk->end};
        const char *name = imap->function.name;
        snprintf(failure->function, sizeof failure->function, "%s", name != NULL ? name : "?");
    }
    failure->task = imap->index;
}

/* The next outcome of a chunk that is over. */
static long show(kin_imap *imap, size_t place, const void **out)
{
    struct chunk *chunk = &imap->chunk[place];
    kin_result *result = chunk->result;
    bool several = imap->function.range != NULL;
    bool failed = kin_result_successful(result) != 1;
    size_t good = failed ? (chunk->items > 1 ? result->progress[0] : 0) : chunk->items;
    size_t one = chunk->bytes / chunk->items, item = chunk->taken++;
    imap->index = chunk->first + item;
    imap->any = true;
    imap->failure.cause = KIN_CAUSE_NONE;
    imap->items--;
    imap->bytes -= one < imap->bytes ? one : imap->bytes;
    long size = several ? (long)imap->function.out_size : (long)result->reply_size;
    if (item < good) {
        *out = (const char *)kin__record_reply(result) + item * imap->function.out_size * several;
    } else {
        tell_failure(imap, chunk);
        size = KIN_EFAILED;
    }
    if (item == 0 && !failed) learn(imap, chunk);
    if (chunk->taken == chunk->items) {
        imap->shown = result;
        remove_chunk(imap, place);
    } else if (item >= good && chunk->end == KIN_CAUSE_NONE) {
        chunk->rest = true;
        go_on(imap, chunk); /* or at the next call, which then tells why not */
    }
    return size;
}

static bool is_over(const struct chunk *chunk)
{
    return kin__task_over(atomic_load_explicit(&chunk->result->state, memory_order_acquire));
}

static bool any_over(void *context)
{
    kin_imap *imap = context;
    for (size_t i = 0; i < imap->chunks; i++)
        if (is_over(&imap->chunk[i])) return true;
    return atomic_load(&imap->pool->state) == KIN__POOL_BROKEN;
}

/* Waits for a chunk that can be shown: *place. */
static int await(kin_imap *imap, size_t *place, kin_deadline deadline)
{
    *place = 0;
    if (!imap->options.unordered) return kin_result_wait(imap->chunk[0].result, deadline);
    if (!any_over(imap)) {
        int rc = kin__own_wait_begin(imap->pool);
        if (rc < 0) return rc;
        rc = kin__event_await(&imap->pool->completed, any_over, imap, deadline);
        kin__own_wait_end(imap->pool);
        if (rc < 0) return rc;
    }
    for (size_t i = 0; i < imap->chunks; i++) {
        *place = i;
        if (is_over(&imap->chunk[i])) return 0;
    }
    return KIN_EBROKEN;
}

long kin_imap_next(kin_imap *imap, const void **out, kin_deadline deadline)
{
    size_t place;
    if (imap == NULL || out == NULL) return -EINVAL;
    forget_shown(imap);
    /* What can be shown is; a chunk is taken out whole before the window is filled again. */
    int rc = imap->chunks > 0 && imap->chunk[0].taken > 0 ? 0 : fill(imap, deadline);
    if (rc < 0 && imap->chunks == 0) return rc;
    if (imap->chunks == 0) return imap->end;
    while ((rc = await(imap, &place, deadline)) == 0) {
        struct chunk *chunk = &imap->chunk[place];
        if (!chunk->rest) return show(imap, place, out);
        rc = go_on(imap, chunk);
        if (rc < 0) break;
    }
    return rc;
}

long kin_imap_index(const kin_imap *imap)
{
    return imap == NULL || !imap->any ? -EINVAL : (long)imap->index;
}

int kin_imap_failure_sized(const kin_imap *imap, kin_failure *failure, size_t size)
{
    if (imap == NULL || failure == NULL || imap->failure.cause == KIN_CAUSE_NONE) return -EINVAL;
    memcpy(failure, &imap->failure, size < sizeof imap->failure ? size : sizeof imap->failure);
    return 0;
}

int kin_imap_close(kin_imap *imap)
{
    if (imap == NULL) return 0;
    forget_shown(imap);
    for (size_t i = 0; i < imap->chunks; i++) {
        kin_result_cancel(imap->chunk[i].result);
        kin_result_close(imap->chunk[i].result);
    }
    kin__os_free(imap->chunk);
    kin__os_free(imap->gathered);
    kin__os_free(imap);
    return 0;
}
