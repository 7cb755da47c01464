/* kin/imap.h: a function over a stream of inputs, as Python's imap and imap_unordered.
 *
 *     kin_imap *stream;
 *     kin_imap_open(&stream, pool, KIN_FN(resize), next_file, &directory, NULL);
 *     while ((size = kin_imap_next(stream, &out, KIN_FOREVER)) != KIN_EMPTY) …
 *     kin_imap_close(stream);
 *
 * The inputs come from a function, and may have no end: no more of them are on the way than the
 * window allows, in items and in bytes. */
#ifndef KIN_IMAP_H
#define KIN_IMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/pool.h>

KIN_BEGIN

/* In private memory.  One thread at a time uses it. */
typedef struct kin_imap kin_imap;

/* Brings the next input: stores its address in `*input`, good until the next call, and returns its
 * size (of a KIN_MAP function: that of its input type); KIN_EMPTY after the last; any other negative
 * value ends the stream with that error. */
typedef long kin_input_function(void *context, const void **input);

typedef struct kin_imap_options {
    bool unordered;     /* outcomes as they come; else in the order of the inputs */
    size_t window;      /* inputs on the way, at most; 0: 1000 */
    size_t max_bytes;   /* of inputs on the way, at most; 0: 64 MiB */
    size_t chunk;       /* items of a KIN_MAP function in a task; 0: chosen by how long they take */
    int retries;        /* as in kin_task_options */
    int64_t timeout_ns; /* for a task; with one, an item is a task */
} kin_imap_options;

/* kin_imap_open begins a stream of `function` over the inputs that `next` brings, and stores it in
 * `*imap`.  `next` is called by the thread that calls kin_imap_next, in it.  Does not wait.
 * Errors: -EINVAL (NULL, a function of kin_pool_starmap), -ENOMEM, those of kin_pool_pause. */
KIN_API int kin_imap_open_sized(kin_imap **imap, kin_pool *pool, const kin_function *function,
                                kin_input_function *next, void *context, const kin_imap_options *options,
                                size_t size);
static inline int kin_imap_open(kin_imap **imap, kin_pool *pool, const kin_function *function,
                                kin_input_function *next, void *context, const kin_imap_options *options)
{
    return kin_imap_open_sized(imap, pool, function, next, context, options, sizeof(kin_imap_options));
}

/* kin_imap_next hands further inputs to the pool, waits for the next outcome until `deadline`, stores
 * its address in `*out`, good until the next call, and returns its size.  What was handed in before the pool was
 * closed is run; in one that has ended by then, items of a chunk behind one that failed have failed with
 * KIN_CAUSE_TERMINATED: they were not run.
 * Errors: KIN_EMPTY (that was the last), KIN_EFAILED (this input's task failed: kin_imap_failure tells
 * how; go on with the next), -ETIMEDOUT, KIN_EBROKEN, KIN_ECLOSED (the pool takes no more tasks), what
 * `next` returned, -EDEADLK (as kin_pool_submit), -EINVAL (NULL), -ENOMEM, -EMSGSIZE. */
KIN_API long kin_imap_next(kin_imap *imap, const void **out, kin_deadline deadline);

/* kin_imap_index returns the number, from 0, of the input whose outcome kin_imap_next brought last;
 * kin_imap_failure fills `*failure` with how it failed, its `task` being that number.  Do not wait.
 * Errors: -EINVAL (NULL; there was none, or it did not fail). */
KIN_API long kin_imap_index(const kin_imap *imap);
KIN_API int kin_imap_failure_sized(const kin_imap *imap, kin_failure *failure, size_t size);
static inline int kin_imap_failure(const kin_imap *imap, kin_failure *failure)
{
    return kin_imap_failure_sized(imap, failure, sizeof(kin_failure));
}

/* kin_imap_close ends the stream: tasks that are not done are cancelled.  NULL is allowed.  Does not
 * wait.  Errors: none. */
KIN_API int kin_imap_close(kin_imap *imap);

/* An array as a stream: kin_input_items is a kin_input_function whose context is a kin_items. */
typedef struct kin_items {
    const void *items;
    size_t size; /* of each */
    size_t count;
    size_t next; /* 0 to begin with */
} kin_items;
KIN_API long kin_input_items(void *items, const void **input);

KIN_END
#endif
