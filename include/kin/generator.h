/* kin/generator.h: a function that hands values to its caller, one by one, and goes on where it was
 * when the next one is wanted.
 *
 *     static int count(kin_generator *self, void *last)
 *     {
 *         for (long i = 1; i <= *(long *)last; i++) kin_generator_yield(self, &i, NULL);
 *         return 0;
 *     }
 *     …
 *     kin_generator *generator = NULL;
 *     kin_generator_open(&generator, count, &last, NULL);
 *     for (void *i; kin_generator_next(generator, &i) == 1;) printf("%ld\n", *(long *)i);
 *     kin_generator_close(generator);
 *
 * It needs no event loop: it is called like a function, in a thread as in a coroutine. */
#ifndef KIN_GENERATOR_H
#define KIN_GENERATOR_H

#include <stddef.h>

#include <kin/version.h>

KIN_BEGIN

/* In the private memory of the process; used by one thread at a time. */
typedef struct kin_generator kin_generator;

/* What a generator runs; `self` is for kin_generator_yield. */
typedef int kin_generator_function(kin_generator *self, void *argument);

typedef struct kin_generator_options {
    size_t stack_size; /* as in kin_coroutine_options */
} kin_generator_options;

/* kin_generator_open makes a generator that will run `target(generator, argument)`, and stores it in
 * `*generator`.  Nothing of it is run yet.  Errors: -EINVAL (NULL, a stack size), -ENOMEM. */
KIN_API int kin_generator_open_sized(kin_generator **generator, kin_generator_function *target,
                                     void *argument, const kin_generator_options *options, size_t size);
static inline int kin_generator_open(kin_generator **generator, kin_generator_function *target,
                                     void *argument, const kin_generator_options *options)
{
    return kin_generator_open_sized(generator, target, argument, options, sizeof(kin_generator_options));
}

/* kin_generator_next lets the function run until it yields and stores what it yields in `*value`
 * (which may be NULL).  Returns 1, or 0 when the function has returned.
 * Errors: -EBUSY (called by the function itself), -EINVAL (NULL). */
KIN_API int kin_generator_next(kin_generator *generator, void **value);

/* kin_generator_send is kin_generator_next, and gives the function `sent`: that is what the call of
 * kin_generator_yield which it is in returns in its last parameter. */
KIN_API int kin_generator_send(kin_generator *generator, void *sent, void **value);

/* kin_generator_yield hands `value` to the caller, for the function that runs in the generator; when
 * the next value is wanted, it stores in `*sent` (which may be NULL) what was sent and returns 0.
 * Errors: -ECANCELED (no more values are wanted: clean up and return), -EPERM (not called by the
 * function), -EINVAL (NULL). */
KIN_API int kin_generator_yield(kin_generator *self, void *value, void **sent);

/* kin_generator_result stores in `*result` what the function returned.
 * Errors: -EBUSY (it has not returned), -EINVAL (NULL). */
KIN_API int kin_generator_result(const kin_generator *generator, int *result);

/* kin_generator_close frees a generator.  One that has not returned is run to its end: its yields
 * fail with -ECANCELED.  NULL is allowed.  Errors: -EBUSY (called by the function itself). */
KIN_API int kin_generator_close(kin_generator *generator);

KIN_END
#endif
