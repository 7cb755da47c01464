/* crew.h: one function, run at the same time by several processes, threads, or both.
 *
 *     static void count(void *context, unsigned index) { … }
 *     static void counter_is_exact(enum crew_kind kind)
 *     {
 *         crew_run(kind, 8, count, shared);
 *         CHECK_EQ(shared->counter, 8 * ROUNDS);
 *     }
 *     CREW_TEST(counter_is_exact)
 *
 * CREW_TEST makes three cases of one function: counter_is_exact_processes, …_threads and
 * …_mixed.  In a mixed crew those of even index are threads of the case's own process, those of
 * odd index threads of one child.  Under ThreadSanitizer it is skipped: what one thread hands to
 * another by way of another process looks like a race to it.
 *
 * CREW_TEST_EXEC makes two more: …_exec, of processes that were begun by exec, and …_mixed_exec, whose
 * one child was.  `context` is family memory then, all that it leads to too.
 */
#ifndef CREW_H
#define CREW_H

#include <pthread.h>

#include "test.h"

enum crew_kind { CREW_PROCESSES, CREW_THREADS, CREW_MIXED, CREW_EXEC, CREW_MIXED_EXEC };

#define CREW_MOST 64

typedef void crew_function(void *context, unsigned index);

struct crew;
struct crew_member {
    struct crew *crew;
    unsigned index;
};

struct crew {
    enum crew_kind kind;
    unsigned count;
    crew_function *run;
    void *context;
    struct crew_member member[CREW_MOST];
    pthread_t thread[CREW_MOST];
    pid_t process[CREW_MOST];
    struct kin_process *begun[CREW_MOST]; /* by exec */
    struct crew_order *order;             /* what those are told; in family memory */
};

/* Starts them all; `context` is memory that they share (family memory or test_shared). */
void crew_start(struct crew *crew, enum crew_kind kind, unsigned count, crew_function *run, void *context);
/* Waits for all of them; a process of the crew has to exit with 0. */
void crew_join(struct crew *crew);

/* False under ThreadSanitizer, see above. */
bool crew_sees_processes(void);

static inline void crew_run(enum crew_kind kind, unsigned count, crew_function *run, void *context)
{
    struct crew crew;
    crew_start(&crew, kind, count, run, context);
    crew_join(&crew);
}

#define CREW_TEST(identifier, ...) \
    TEST(identifier##_processes, __VA_ARGS__) \
    { \
        identifier(CREW_PROCESSES); \
    } \
    TEST(identifier##_threads, __VA_ARGS__) \
    { \
        identifier(CREW_THREADS); \
    } \
    TEST(identifier##_mixed, __VA_ARGS__) \
    { \
        identifier(CREW_MIXED); \
    }

#define CREW_TEST_EXEC(identifier, ...) \
    CREW_TEST(identifier, __VA_ARGS__) \
    TEST(identifier##_exec, __VA_ARGS__) \
    { \
        identifier(CREW_EXEC); \
    } \
    TEST(identifier##_mixed_exec, __VA_ARGS__) \
    { \
        identifier(CREW_MIXED_EXEC); \
    }

#endif
