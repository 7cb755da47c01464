/* block.c: the memory of small blocks: each thread keeps some that were given back.
 *
 * Messages are made of many small values that live shortly.  libc's allocator takes several times as
 * long for them as making the value does.
 *
 * Invariants:
 *  - A thread keeps at most KEPT_MOST bytes of each size, and gives them back when it ends.
 *  - With a sanitizer nothing is kept, so that it sees every use of what was given back.
 */
#include <pthread.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

#define STEP      16
#define SIZES     9 /* 16 to 128 bytes; 0 is whatever is larger */
#define KEPT_MOST 65536

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define KEEPS 0
#endif
#endif
#ifndef KEEPS
#define KEEPS 1
#endif

struct kept {
    struct kin__boxed *first;
    uint32_t count;
    uint32_t most; /* 0 until this thread may keep blocks at all */
};

static _Thread_local struct kept kept[SIZES];
static _Thread_local bool registered; /* for the end of the thread */
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;

static void give_back(void *unused)
{
    (void)unused;
    registered = false;
    for (size_t i = 0; i < SIZES; i++) {
        while (kept[i].first) {
            struct kin__boxed *object = kept[i].first;
            kept[i].first = object->next;
            free(object);
        }
        kept[i] = (struct kept){0};
    }
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_end, give_back) == 0;
}

/* This thread may keep blocks if it can give them back in the end. */
static void register_thread(void)
{
    pthread_once(&once, make_key);
    registered = has_key && pthread_setspecific(at_end, kept) == 0;
    for (uint32_t i = 1; registered && i < SIZES; i++) kept[i].most = KEPT_MOST / (i * STEP);
}

void *kin__boxed_make(kin_value_kinds kind, size_t size)
{
    size_t number = size <= STEP * (SIZES - 1) ? (size + STEP - 1) / STEP : 0;
    struct kin__boxed *object = kept[number].first;
    if (object) {
        kept[number].first = object->next;
        kept[number].count--;
    } else if ((object = kin__os_malloc(number ? number * STEP : size)) == NULL)
        return NULL;
    atomic_init(&object->count, 1);
    object->kind = (uint8_t)kind;
    object->open = 0;
    object->typecode = 0;
    object->size_class = (uint8_t)number;
    object->weight = 1;
    object->height = 0;
    return object;
}

void kin__boxed_free(struct kin__boxed *object)
{
    size_t number = object->size_class;
    if (kept[number].count >= kept[number].most) {
        if (KEEPS && number != 0 && !registered) register_thread();
        if (kept[number].count >= kept[number].most) {
            free(object);
            return;
        }
    }
    object->next = kept[number].first;
    kept[number].first = object;
    kept[number].count++;
}
