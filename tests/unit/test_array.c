/* test_array.c: arrays and cells: what each function promises, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/faults.h"
#include "support/test.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <kin/array.h>
#include <kin/error.h>
#include <kin/memory.h>
#include <kin/queue.h>

#define MIB ((size_t)1 << 20)

static kin_array *open_array(char code, size_t length)
{
    kin_array *array = NULL;
    CHECK_RC(kin_array_open(&array, code, length, NULL), 0);
    return array;
}

/* ---- opening ----------------------------------------------------------------------------------- */

TEST(every_code_of_python_makes_an_array_of_zeros)
{
    struct books books = books_open();
    static const struct {
        char code;
        size_t size;
    } codes[] = {{'c', 1},
                 {'u', sizeof(wchar_t)},
                 {'b', 1},
                 {'B', 1},
                 {'h', 2},
                 {'H', 2},
                 {'i', 4},
                 {'I', 4},
                 {'l', sizeof(long)},
                 {'L', sizeof(long)},
                 {'q', 8},
                 {'Q', 8},
                 {'f', 4},
                 {'d', 8},
                 {'?', 1}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        test_context("code %c", codes[i].code);
        kin_array *array = open_array(codes[i].code, 7);
        CHECK_EQ(kin_array_typecode(array), codes[i].code);
        CHECK_EQ(kin_array_length(array), 7);
        static const char zeros[64];
        char items[64];
        memset(items, 1, sizeof items);
        CHECK_RC(kin_array_read(array, 0, 7, items, KIN_NOW), 0);
        CHECK_MEM(items, zeros, 7 * codes[i].size);
        CHECK_EQ((uintptr_t)kin_array_data(array) % 64, 0);
        double number = 1;
        CHECK_RC(kin_array_get(array, 6, &number), 0);
        CHECK_EQ(number, 0);
        CHECK_RC(kin_array_close(array), 0);
    }
    test_context(NULL);
    books_check(&books);
}

TEST(it_begins_with_what_is_given)
{
    const int squares[] = {0, 1, 4, 9};
    kin_array *array = NULL;
    kin_cell *cell = NULL;
    CHECK_RC(kin_array_open(&array, 'i', 4, &(kin_array_options){.initial = squares}), 0);
    CHECK_MEM(kin_array_data(array), squares, sizeof squares);
    CHECK_RC(kin_cell_open(&cell, 'd', &(kin_array_options){.initial = &(double){2.5}}), 0);
    double value = 0;
    CHECK_RC(kin_cell_get(cell, &value), 0);
    CHECK_EQ(value, 2.5);
    CHECK_EQ(kin_array_length(cell), 1);
    CHECK_RC(kin_cell_close(cell), 0);
    CHECK_RC(kin_array_close(array), 0);
}

TEST(structs_are_read_and_written_whole)
{
    struct point {
        double x, y;
        char name[9];
    } points[3] = {{1, 2, "one"}, {3, 4, "two"}, {5, 6, "three"}}, got[3];
    kin_array *array = NULL;
    CHECK_RC(kin_array_open(&array, 0, 3, &(kin_array_options){.item_size = sizeof *points}), 0);
    CHECK_RC(kin_array_write(array, 0, 3, points, KIN_NOW), 0);
    CHECK_RC(kin_array_read(array, 1, 2, got, KIN_NOW), 0);
    CHECK_STR(got[1].name, "three");
    int number = 1;
    CHECK_RC(kin_array_get(array, 0, &number), KIN_ETYPE);
    CHECK_RC(kin_array_set(array, 0, 5), KIN_ETYPE);
    CHECK_RC(kin_array_add(array, 0, 5), KIN_ETYPE);
    CHECK_MEM(kin_array_data(array), points, sizeof points);
    CHECK_RC(kin_array_close(array), 0);
}

TEST(what_makes_no_array_is_refused)
{
    struct books books = books_open();
    kin_array *array = NULL;
    kin_lock *lock = NULL;
    CHECK_OK(kin_lock_open(&lock));
    CHECK_RC(kin_array_open(NULL, 'i', 1, NULL), -EINVAL);
    CHECK_RC(kin_array_open(&array, 'x', 1, NULL), -EINVAL);
    CHECK_RC(kin_array_open(&array, 0, 1, NULL), -EINVAL);
    CHECK_RC(kin_array_open(&array, 'i', 0, NULL), -EINVAL);
    CHECK_RC(kin_array_open(&array, 'i', 1, &(kin_array_options){.item_size = 8}), -EINVAL);
    CHECK_RC(kin_array_open(&array, 'i', 1, &(kin_array_options){.lock = lock, .no_lock = true}), -EINVAL);
    CHECK_RC(kin_array_open(&array, 'i', 1, &(kin_array_options){.lock = (kin_lock *)&array}), KIN_EFOREIGN);
    CHECK_RC(kin_array_open(&array, 'd', SIZE_MAX / 8, NULL), -ENOMEM);
    CHECK_RC(kin_array_open(&array, 'd', SIZE_MAX / 4, NULL), -ENOMEM);
    CHECK(array == NULL);
    CHECK_OK(kin_lock_close(lock));
    CHECK_RC(kin_array_open(&array, 'i', 1, &(kin_array_options){.lock = lock}), KIN_ECLOSED);
    books_check(&books);
}

TEST(what_is_no_array_is_refused)
{
    long long private[64] = {0};
    int value = 7;
    void *block = kin_alloc(1024);
    kin_array *array = open_array('i', 3);
    void *wrong[] = {private, block, (char *)array + 64, kin_array_data(array), kin_array_lock(array)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        CHECK_RC(kin_array_get((kin_array *)wrong[i], 0, &value), KIN_EFOREIGN);
        CHECK_RC(kin_array_set((kin_array *)wrong[i], 0, value), KIN_EFOREIGN);
        CHECK_RC(kin_array_read(wrong[i], 0, 1, &value, KIN_NOW), KIN_EFOREIGN);
        CHECK_RC((int)kin_array_length(wrong[i]), KIN_EFOREIGN);
        CHECK(kin_array_data(wrong[i]) == NULL);
        CHECK(kin_array_lock(wrong[i]) == NULL);
        CHECK_RC(kin_array_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    kin_array *none = NULL;
    CHECK_RC(kin_array_get(none, 0, &value), -EINVAL);
    CHECK_RC(kin_array_get_as(array, 0, 'i', NULL), -EINVAL);
    CHECK_RC(kin_array_get_as(array, 0, 'x', &value), -EINVAL);
    CHECK_RC(kin_array_exchange_as(array, 0, 'i', &value, 'i', NULL), -EINVAL);
    CHECK_RC(kin_array_compare_exchange_as(array, 0, 'i', NULL, 'i', &value), -EINVAL);
    CHECK_RC(kin_array_read(array, 0, 1, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_array_close(NULL), 0);
    CHECK_RC(kin_array_close(array), 0);
    CHECK_RC(kin_array_get(array, 0, &value), KIN_ECLOSED);
    CHECK_RC(kin_array_close(array), KIN_ECLOSED);
    CHECK_EQ(value, 7);
    CHECK_OK(kin_free(block));
}

/* ---- one item ------------------------------------------------------------------------------------ */

TEST(an_index_beyond_the_end_is_refused)
{
    kin_array *array = open_array('l', 4);
    long value = 9, items[5] = {0};
    CHECK_RC(kin_array_get(array, 4, &value), KIN_EINDEX);
    CHECK_RC(kin_array_set(array, (size_t)-1, value), KIN_EINDEX);
    CHECK_RC(kin_array_add(array, 4, 1), KIN_EINDEX);
    CHECK_RC(kin_array_exchange(array, 4, 1, &value), KIN_EINDEX);
    CHECK_RC(kin_array_compare_exchange(array, 4, &value, 1), KIN_EINDEX);
    CHECK_RC(kin_array_read(array, 0, 5, items, KIN_NOW), KIN_EINDEX);
    CHECK_RC(kin_array_read(array, 5, 0, items, KIN_NOW), KIN_EINDEX);
    CHECK_RC(kin_array_write(array, 2, SIZE_MAX, items, KIN_NOW), KIN_EINDEX);
    CHECK_RC(kin_array_read(array, 4, 0, NULL, KIN_NOW), 0);
    CHECK_EQ(value, 9);
    CHECK_RC(kin_array_close(array), 0);
}

TEST(numbers_are_converted_or_refused)
{
    kin_array *bytes = open_array('b', 1), *words = open_array('Q', 1), *reals = open_array('f', 1),
              *flags = open_array('?', 1);
    signed char small = 0;
    unsigned long long large = 0;
    double real = 0;
    CHECK_RC(kin_array_set(bytes, 0, -128), 0);
    CHECK_RC(kin_array_set(bytes, 0, -129), -ERANGE);
    CHECK_RC(kin_array_set(bytes, 0, 128u), -ERANGE);
    CHECK_RC(kin_array_set(bytes, 0, LLONG_MIN), -ERANGE);
    CHECK_RC(kin_array_get(bytes, 0, &small), 0);
    CHECK_EQ(small, -128);
    CHECK_RC(kin_array_get(bytes, 0, &large), -ERANGE);
    CHECK_RC(kin_array_get(bytes, 0, &real), 0);
    CHECK_EQ(real, -128);
    CHECK_RC(kin_array_set(bytes, 0, 5.5), -ERANGE);
    CHECK_RC(kin_array_set(bytes, 0, 5.0f), 0);
    CHECK_RC(kin_array_set(words, 0, ULLONG_MAX), 0);
    CHECK_RC(kin_array_set(words, 0, -1), -ERANGE);
    CHECK_RC(kin_array_set(words, 0, 18446744073709551616.0), -ERANGE);
    CHECK_RC(kin_array_set(words, 0, (double)NAN), -ERANGE);
    long long wide = 0;
    CHECK_RC(kin_array_get(words, 0, &wide), -ERANGE);
    CHECK_RC(kin_array_get(words, 0, &large), 0);
    CHECK_EQ(large, ULLONG_MAX);
    CHECK_RC(kin_array_set(reals, 0, 1e300), -ERANGE);
    CHECK_RC(kin_array_set(reals, 0, (double)INFINITY), 0);
    CHECK_RC(kin_array_set(reals, 0, 0.1), 0);
    CHECK_RC(kin_array_get(reals, 0, &real), 0);
    CHECK(real == (double)0.1f);
    CHECK_RC(kin_array_set(flags, 0, 2), -ERANGE);
    /* What is exchanged, too: nothing is cut. */
    small = 0;
    CHECK_RC(kin_array_exchange(bytes, 0, 300, &small), -ERANGE);
    CHECK_RC(kin_array_exchange(bytes, 0, 0.5, &small), -ERANGE);
    CHECK_RC(kin_array_exchange(bytes, 0, -7LL, &small), 0);
    CHECK_EQ(small, 5);
    small = -7;
    CHECK_RC(kin_array_compare_exchange(bytes, 0, &small, 300), -ERANGE);
    CHECK_RC(kin_array_compare_exchange(bytes, 0, &small, 8.0), 1);
    CHECK_RC(kin_array_fetch_add(bytes, 0, 1.5, &small), -ERANGE);
    CHECK_RC(kin_array_fetch_add(bytes, 0, 2L, &small), 0);
    CHECK_EQ(small, 8);
    CHECK_RC(kin_array_get(bytes, 0, &small), 0);
    CHECK_EQ(small, 10);
    CHECK_RC(kin_array_exchange(bytes, 0, 1, &large), KIN_ETYPE);
    CHECK_RC(kin_array_set(flags, 0, 1), 0);
    bool flag = false;
    CHECK_RC(kin_array_get(flags, 0, &flag), 0);
    CHECK(flag);
    CHECK_RC(kin_array_add(flags, 0, 1), KIN_ETYPE);
    kin_array *all[] = {bytes, words, reals, flags};
    for (int i = 0; i < 4; i++) CHECK_RC(kin_array_close(all[i]), 0);
}

TEST(the_largest_and_smallest_pass_between_all_types)
{
    static const char codes[] = "bBhHiIlLqQ";
    static const long long most[] = {SCHAR_MAX, UCHAR_MAX, SHRT_MAX, USHRT_MAX, INT_MAX,
                                     UINT_MAX,  LONG_MAX,  -1,       LLONG_MAX, -1};
    for (int i = 0; i < 10; i++) {
        kin_array *array = open_array(codes[i], 1);
        test_context("code %c", codes[i]);
        unsigned long long top = (unsigned long long)most[i];
        CHECK_RC(kin_array_set(array, 0, top), 0);
        if (top != ULLONG_MAX) CHECK_RC(kin_array_set(array, 0, top + 1), -ERANGE);
        unsigned long long got = 0;
        CHECK_RC(kin_array_get(array, 0, &got), 0);
        CHECK_EQ(got, top);
        long long least = i % 2 == 0 ? -(long long)top - 1 : 0;
        CHECK_RC(kin_array_set(array, 0, least), 0);
        if (least != LLONG_MIN) CHECK_RC(kin_array_set(array, 0, least - 1), -ERANGE);
        long long low = 5;
        CHECK_RC(kin_array_get(array, 0, &low), 0);
        CHECK_EQ(low, least);
        CHECK_RC(kin_array_close(array), 0);
    }
    test_context(NULL);
}

TEST(add_exchange_and_compare_exchange_of_each_size)
{
    static const char codes[] = "bBhHiIlLqQ";
    for (int i = 0; i < 10; i++) {
        test_context("code %c", codes[i]);
        kin_array *array = open_array(codes[i], 3);
        CHECK_RC(kin_array_set(array, 1, 40), 0);
        CHECK_RC(kin_array_add(array, 1, 5), 0);
        CHECK_RC(kin_array_add(array, 1, -3L), 0);
        CHECK_RC(kin_array_add(array, 1, 0.5), -ERANGE);
        int got[3];
        for (int n = 0; n < 3; n++) CHECK_RC(kin_array_get(array, (size_t)n, &got[n]), 0);
        CHECK_EQ(got[1], 42);
        CHECK_EQ(got[0] | got[2], 0);
        CHECK_RC(kin_array_close(array), 0);
    }
    test_context(NULL);
    unsigned char before = 0, expected = 3;
    kin_array *bytes = open_array('B', 2);
    CHECK_RC(kin_array_fetch_add(bytes, 0, 250, &before), 0);
    CHECK_EQ(before, 0);
    CHECK_RC(kin_array_fetch_add(bytes, 0, 10, &before), 0);
    CHECK_EQ(before, 250);
    CHECK_RC(kin_array_exchange(bytes, 0, 9, &before), 0);
    CHECK_EQ(before, 4); /* it wraps around and does not carry into its neighbour */
    CHECK_RC(kin_array_compare_exchange(bytes, 0, &expected, 1), 0);
    CHECK_EQ(expected, 9);
    CHECK_RC(kin_array_compare_exchange(bytes, 0, &expected, 1), 1);
    CHECK_EQ(((unsigned char *)kin_array_data(bytes))[0], 1);
    CHECK_EQ(((unsigned char *)kin_array_data(bytes))[1], 0);
    int other = 0;
    CHECK_RC(kin_array_fetch_add(bytes, 0, 1, &other), KIN_ETYPE);
    CHECK_RC(kin_array_exchange(bytes, 0, 1, &other), KIN_ETYPE);
    CHECK_RC(kin_array_compare_exchange(bytes, 0, &other, 1), KIN_ETYPE);
    CHECK_RC(kin_array_close(bytes), 0);
}

TEST(reals_add_and_compare)
{
    kin_cell *cell = NULL;
    CHECK_RC(kin_cell_open(&cell, 'd', NULL), 0);
    double before = -1, expected = 1.75;
    CHECK_RC(kin_cell_add(cell, 1), 0);
    CHECK_RC(kin_cell_add(cell, 0.75f), 0);
    CHECK_RC(kin_cell_fetch_add(cell, 0.25, &before), 0);
    CHECK_EQ(before, 1.75);
    CHECK_RC(kin_cell_compare_exchange(cell, &expected, 8), 0);
    CHECK_EQ(expected, 2.0);
    CHECK_RC(kin_cell_compare_exchange(cell, &expected, 8), 1);
    CHECK_RC(kin_cell_exchange(cell, 0, &before), 0);
    CHECK_EQ(before, 8);
    CHECK_RC(kin_cell_close(cell), 0);
    CHECK_RC(kin_cell_open(&cell, 'f', NULL), 0);
    CHECK_RC(kin_cell_add(cell, 1.5), 0);
    float small = 0;
    CHECK_RC(kin_cell_get(cell, &small), 0);
    CHECK_EQ(small, 1.5f);
    CHECK_RC(kin_cell_close(cell), 0);
}

/* ---- the lock ---------------------------------------------------------------------------------------- */

struct shared {
    kin_array *array;
    _Atomic int stage;
};

static void hold_the_lock(void *argument)
{
    struct shared *shared = argument;
    CHECK_RC(kin_lock_acquire(kin_array_lock(shared->array), KIN_NOW), 0);
    shared->stage = 1;
    for (;;) pause();
}

TEST(copies_wait_for_the_lock_and_items_do_not)
{
    struct books books = books_open();
    struct shared *shared = test_shared(sizeof *shared);
    shared->array = open_array('i', 4);
    int items[4] = {1, 2, 3, 4};
    pid_t holder = test_child(hold_the_lock, shared);
    test_until(shared->stage == 1);
    CHECK_RC(kin_array_write(shared->array, 0, 4, items, KIN_NOW), -ETIMEDOUT);
    CHECK_RC(kin_array_read(shared->array, 0, 4, items, kin_in_ms(5)), -ETIMEDOUT);
    CHECK_RC(kin_array_set(shared->array, 0, 7), 0);
    CHECK_RC(kin_array_close(shared->array), -EBUSY);
    CHECK_EQ(items[0], 1);
    test_kill(holder);
    CHECK_RC(kin_array_write(shared->array, 1, 3, items, kin_in_s(20)), KIN_OWNER_DIED);
    CHECK_RC(kin_array_read(shared->array, 0, 2, items, KIN_FOREVER), 0);
    CHECK_EQ(items[0], 7);
    CHECK_EQ(items[1], 1);
    CHECK_RC(kin_array_close(shared->array), 0);
    books_check_blocks(&books);
}

TEST(who_holds_the_lock_may_copy)
{
    kin_array *array = open_array('i', 2);
    int items[2] = {3, 4};
    CHECK_RC(kin_lock_acquire(kin_array_lock(array), KIN_NOW), 0);
    CHECK_RC(kin_array_write(array, 0, 2, items, KIN_NOW), 0);
    CHECK_RC(kin_array_read(array, 0, 2, items, KIN_NOW), 0);
    CHECK_RC(kin_array_close(array), -EBUSY);
    CHECK_RC(kin_lock_release(kin_array_lock(array)), 0);
    CHECK_RC(kin_lock_close(kin_array_lock(array)), -EPERM);
    kin_lock *lock = kin_array_lock(array);
    CHECK_RC(kin_array_close(array), 0);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), KIN_ECLOSED);
}

TEST(one_lock_for_several_and_none)
{
    struct books books = books_open();
    kin_lock *lock = NULL;
    kin_array *array[2] = {NULL}, *raw = NULL;
    int item = 0;
    CHECK_OK(kin_lock_open(&lock));
    for (int i = 0; i < 2; i++) {
        CHECK_RC(kin_array_open(&array[i], 'i', 1, &(kin_array_options){.lock = lock}), 0);
        CHECK(kin_array_lock(array[i]) == lock);
    }
    CHECK_RC(kin_array_open(&raw, 'i', 1, &(kin_array_options){.no_lock = true}), 0);
    CHECK(kin_array_lock(raw) == NULL);
    CHECK_RC(kin_array_read(raw, 0, 1, &item, KIN_NOW), 0);
    CHECK_RC(kin_array_close(raw), 0);
    CHECK_RC(kin_lock_acquire(lock, KIN_NOW), 0);
    for (int i = 0; i < 2; i++) CHECK_RC(kin_array_close(array[i]), 0);
    CHECK_RC(kin_lock_release(lock), 0);
    CHECK_OK(kin_lock_close(lock));
    books_check(&books);
}

/* ---- memory --------------------------------------------------------------------------------------------- */

static size_t backed(void)
{
    kin_memory_usage usage;
    CHECK_OK(kin_memory_stats(&usage));
    return usage.heap_backed;
}

TEST(a_large_array_goes_back_to_the_system)
{
    size_t before = backed();
    for (int huge = 0; huge < 2; huge++) {
        kin_array *array = NULL;
        CHECK_RC(kin_array_open(&array, 'd', 64 * MIB / 8, &(kin_array_options){.huge_pages = huge}), 0);
        CHECK_GE(backed(), before + 64 * MIB);
        double *data = kin_array_data(array), sum = 0;
        for (size_t i = 0; i < 64 * MIB / 8; i += 512) data[i] = 1;
        for (size_t i = 0; i < 64 * MIB / 8; i++) sum += data[i];
        CHECK_EQ(sum, 64 * MIB / 4096);
        CHECK_RC(kin_array_close(array), 0);
        CHECK_LT(backed(), before + MIB);
    }
}

/* A pointer to an array means the same wherever it arrives. */
static void fill_what_arrives(void *argument)
{
    kin_array *array = NULL;
    CHECK_EQ(kin_queue_get(argument, &array, sizeof array, kin_in_s(20)), (long)sizeof array);
    for (int i = 0; i < 4; i++) CHECK_RC(kin_array_set(array, (size_t)i, i * i), 0);
}

TEST(an_array_made_after_the_fork_is_sent_by_a_queue)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    pid_t child = test_child(fill_what_arrives, queue);
    kin_array *array = open_array('i', 4);
    CHECK_OK(kin_queue_put(queue, &array, sizeof array, KIN_NOW));
    CHECK_EQ(test_collect(child), 0);
    int nine = 0;
    CHECK_RC(kin_array_get(array, 3, &nine), 0);
    CHECK_EQ(nine, 9);
    CHECK_RC(kin_array_close(array), 0);
    CHECK_OK(kin_queue_close(queue));
}

static int make(void *context)
{
    return kin_array_open((kin_array **)context, 'd', 100000, &(kin_array_options){.huge_pages = true});
}

static int unmake(void *context)
{
    return kin_array_close(*(kin_array **)context);
}

TEST(array_open_under_faults)
{
    kin_array *array = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &array, .cold = true});
    CHECK_GT(report.injected, 0);
}
