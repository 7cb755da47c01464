/* test_value.c: values without containers: who owns them, numbers, text, bytes, arrays, what is
 * equal and what is printed.  What Python says is in tests/interop/test_pickle_python.c. */
#include "support/test.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include <kin/container.h>
#include <kin/object.h>
#include <kin/value.h>

static void check_repr(kin_value value, const char *expected)
{
    char text[400];
    CHECK_OK(kin_value_repr(&value, text, sizeof text));
    CHECK_STR(text, expected);
    kin_value_clear(&value);
}

static int equal(kin_value a, kin_value b)
{
    int same = kin_value_equal(&a, &b);
    if (same == 1) {
        uint64_t hash_a = 0, hash_b = 1;
        int rc = kin_value_hash(&a, &hash_a);
        if (rc == 0 && kin_value_hash(&b, &hash_b) == 0) CHECK_EQ(hash_a, hash_b);
    }
    kin_value_clear(&a);
    kin_value_clear(&b);
    return same;
}

static int less(kin_value a, kin_value b)
{
    int rc = kin_value_less(&a, &b);
    kin_value_clear(&a);
    kin_value_clear(&b);
    return rc;
}

TEST(all_zero_is_none)
{
    kin_value value;
    memset(&value, 0, sizeof value);
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_NONE);
    check_repr(value, "None");
    kin_value_clear(&value);
    kin_value_clear(NULL);
}

TEST(a_reference_is_the_same_value_and_a_copy_is_not)
{
    kin_value list = kin_value_build("[i]", 1), same = kin_value_ref(&list), copy = kin_value_copy(&list);
    CHECK_RC(kin_value_list_append(&same, kin_value_int(2)), 0);
    CHECK_EQ(kin_value_len(&list), 2);
    CHECK_EQ(kin_value_len(&copy), 1);
    kin_value_clear(&list);
    CHECK_EQ(kin_value_len(&same), 2);
    kin_value_clear(&same);
    kin_value_clear(&copy);
}

TEST(a_failed_value_carries_its_error_through_what_is_made_of_it)
{
    kin_value value = kin_value_build("{s:(iv)}", "key", 1, kin_value_str("\xff"));
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_FAILED);
    CHECK_RC(kin_value_error_code(&value), -EILSEQ);
    CHECK_STR(kin_value_kind_name(&value), "failed");
    kin_value list = kin_value_list(NULL, 0), dict = kin_value_dict();
    CHECK_RC(kin_value_list_append(&list, kin_value_ref(&value)), -EILSEQ);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_int(1), value), -EILSEQ);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_failed(-EPERM), kin_value_int(1)), -EPERM);
    CHECK_EQ(kin_value_len(&list), 0);
    CHECK_EQ(kin_value_len(&dict), 0);
    kin_value items[] = {kin_value_str("text that is in a block of its own"), kin_value_failed(-ENOENT)};
    kin_value tuple = kin_value_tuple(items, 2);
    CHECK_RC(kin_value_error_code(&tuple), -ENOENT);
    value = kin_value_failed(7);
    CHECK_RC(kin_value_error_code(&value), -EINVAL);
    kin_value_clear(&list);
    kin_value_clear(&dict);
}

TEST(integers_of_every_size)
{
    static const struct {
        const char *digits;
        unsigned char bytes[12];
        size_t size;
    } rows[] = {
        {"0", {0}, 0},
        {"255", {0xff, 0}, 2},
        {"-1", {0xff}, 1},
        {"-128", {0x80}, 1},
        {"9223372036854775807", {255, 255, 255, 255, 255, 255, 255, 0x7f}, 8},
        {"9223372036854775808", {0, 0, 0, 0, 0, 0, 0, 0x80, 0}, 9},
        {"-9223372036854775808", {0, 0, 0, 0, 0, 0, 0, 0x80}, 8},
        {"-9223372036854775809", {255, 255, 255, 255, 255, 255, 255, 0x7f, 255}, 9},
        {"18446744073709551615", {255, 255, 255, 255, 255, 255, 255, 255, 0}, 9},
        {"18446744073709551616", {0, 0, 0, 0, 0, 0, 0, 0, 1}, 9},
        {"1000000000000000000000", {0, 0, 0xa0, 0xde, 0xc5, 0xad, 0xc9, 0x35, 0x36}, 9},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char longer[12], back[12] = {0};
        test_context("%s", rows[i].digits);
        memset(longer, rows[i].digits[0] == '-' ? 0xff : 0, sizeof longer);
        memcpy(longer, rows[i].bytes, rows[i].size);
        check_repr(kin_value_int_from_bytes(longer, sizeof longer), rows[i].digits);
        kin_value value = kin_value_int_from_bytes(rows[i].bytes, rows[i].size);
        CHECK_RC(kin_value_int_bytes(&value, NULL, 0), (long)rows[i].size);
        CHECK_RC(kin_value_int_bytes(&value, back, sizeof back), (long)rows[i].size);
        CHECK_MEM(back, longer, sizeof back);
        CHECK_EQ(equal(kin_value_ref(&value), kin_value_int_from_bytes(longer, sizeof longer)), 1);
        kin_value_clear(&value);
    }
    test_context(NULL);
    check_repr(kin_value_uint(UINT64_MAX), "18446744073709551615");
    kin_value huge = kin_value_uint(UINT64_MAX), negative = kin_value_int(-1), one = kin_value_bool(true);
    int64_t number = 7;
    uint64_t natural = 7;
    CHECK_RC(kin_value_get_int(&huge, &number), -ERANGE);
    CHECK_RC(kin_value_get_uint(&negative, &natural), -ERANGE);
    CHECK_EQ(number, 7);
    CHECK_EQ(natural, 7);
    CHECK_RC(kin_value_get_uint(&huge, &natural), 0);
    CHECK_EQ(natural, UINT64_MAX);
    CHECK_RC(kin_value_get_int(&one, &number), 0);
    CHECK_EQ(number, 1);
    kin_value_clear(&huge);
}

TEST(numbers_are_equal_across_kinds)
{
    CHECK_EQ(equal(kin_value_int(1), kin_value_float(1.0)), 1);
    CHECK_EQ(equal(kin_value_int(1), kin_value_bool(true)), 1);
    CHECK_EQ(equal(kin_value_float(0), kin_value_float(-0.0)), 1);
    CHECK_EQ(equal(kin_value_complex(2, 0), kin_value_int(2)), 1);
    CHECK_EQ(equal(kin_value_complex(2, 1), kin_value_int(2)), 0);
    CHECK_EQ(equal(kin_value_float(NAN), kin_value_float(NAN)), 0);
    CHECK_EQ(equal(kin_value_int(INT64_MAX), kin_value_float(0x1p63)), 0);
    CHECK_EQ(equal(kin_value_uint(1ull << 63), kin_value_float(0x1p63)), 1);
    CHECK_EQ(equal(kin_value_int((1ll << 53) + 1), kin_value_float(0x1p53)), 0);
    CHECK_EQ(equal(kin_value_none(), kin_value_int(0)), 0);
    CHECK_EQ(equal(kin_value_str("1"), kin_value_bytes("1", 1)), 0);
    CHECK_EQ(equal(kin_value_bytearray("1", 1), kin_value_bytes("1", 1)), 1);
    CHECK_EQ(less(kin_value_int(INT64_MAX), kin_value_float(0x1p63)), 1);
    CHECK_EQ(less(kin_value_float(0x1p63), kin_value_int(INT64_MAX)), 0);
    CHECK_EQ(less(kin_value_float(-INFINITY), kin_value_int(INT64_MIN)), 1);
    CHECK_EQ(less(kin_value_float(1.5), kin_value_int(2)), 1);
    CHECK_EQ(less(kin_value_int(2), kin_value_float(1.5)), 0);
    CHECK_EQ(less(kin_value_float(NAN), kin_value_int(2)), 0);
    CHECK_EQ(less(kin_value_bool(false), kin_value_int(1)), 1);
    CHECK_RC(less(kin_value_complex(1, 0), kin_value_int(1)), KIN_EKIND);
    CHECK_RC(less(kin_value_str("1"), kin_value_int(1)), KIN_EKIND);
    CHECK_EQ(less(kin_value_str("a"), kin_value_str("a b")), 1);
    CHECK_EQ(less(kin_value_str("\u20ac"), kin_value_str("z")), 0);
}

TEST(integers_and_doubles)
{
    double number;
    kin_value value = kin_value_uint(UINT64_MAX);
    CHECK_RC(kin_value_get_float(&value, &number), 0);
    CHECK_EQ(number, 0x1p64);
    kin_value_clear(&value);
    unsigned char bytes[140] = {[0] = 1, [20] = 1};
    value = kin_value_int_from_bytes(bytes, 22);
    CHECK_RC(kin_value_get_float(&value, &number), 0);
    CHECK_EQ(number, 0x1p160);
    kin_value_clear(&value);
    /* A tie that the lowest bit breaks, and one that stays a tie and goes to the even side. */
    memset(bytes, 0, sizeof bytes);
    bytes[10] = 0x20;
    bytes[4] = 0x00;
    bytes[3] = 0x80;
    bytes[4] |= 0x00;
    value = kin_value_int_from_bytes(bytes, 12);
    CHECK_RC(kin_value_get_float(&value, &number), 0);
    CHECK_EQ(number, 0x1p85 + 0x1p31 * 0); /* below half of the last place, 2^33 */
    kin_value_clear(&value);
    bytes[3] = 0;
    bytes[4] = 1; /* 2^32 is half of it */
    value = kin_value_int_from_bytes(bytes, 12);
    CHECK_RC(kin_value_get_float(&value, &number), 0);
    CHECK_EQ(number, 0x1p85);
    kin_value_clear(&value);
    bytes[0] = 1;
    value = kin_value_int_from_bytes(bytes, 12);
    CHECK_RC(kin_value_get_float(&value, &number), 0);
    CHECK_EQ(number, 0x1p85 + 0x1p33);
    kin_value_clear(&value);
    memset(bytes, 0, sizeof bytes);
    bytes[128] = 1;
    value = kin_value_int_from_bytes(bytes, 130);
    CHECK_RC(kin_value_get_float(&value, &number), -ERANGE);
    kin_value_clear(&value);
    value = kin_value_str("1.5");
    CHECK_RC(kin_value_get_float(&value, &number), KIN_EKIND);
}

TEST(floats_are_printed_as_short_as_they_can_be)
{
    static const struct {
        double number;
        const char *text;
    } rows[] = {{0.0, "0.0"},
                {-0.0, "-0.0"},
                {0.1, "0.1"},
                {1.0 / 3, "0.3333333333333333"},
                {1e15, "1000000000000000.0"},
                {1e16, "1e+16"},
                {123456789012345680.0, "1.2345678901234568e+17"},
                {0.0001, "0.0001"},
                {0.00001, "1e-05"},
                {5e-324, "5e-324"},
                {DBL_MAX, "1.7976931348623157e+308"},
                {INFINITY, "inf"},
                {-INFINITY, "-inf"},
                {NAN, "nan"},
                {100.0, "100.0"},
                {2.5e10, "25000000000.0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_repr(kin_value_float(rows[i].number), rows[i].text);
    check_repr(kin_value_complex(0, 1), "1j");
    check_repr(kin_value_complex(1.5, -2), "(1.5-2j)");
    check_repr(kin_value_complex(-0.0, 1), "(-0+1j)");
}

TEST(text_is_utf8)
{
    static const char *const good[] = {"",       "a",          "thirteen chars", "\u00e9",
                                       "\u20ac", "\U0001f600", "\xed\xa0\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc3",
                                      "\xe0\x80\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "a\xe2\x82 and more",
                                      "0123456\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t size = 99;
        kin_value value = kin_value_str(good[i]);
        CHECK_STR(kin_value_get_str(&value, &size), good[i]);
        CHECK_EQ(size, strlen(good[i]));
        kin_value_clear(&value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kin_value value = kin_value_str(bad[i]);
        test_context("row %zu", i);
        CHECK_RC(kin_value_error_code(&value), -EILSEQ);
    }
    test_context(NULL);
    kin_value value = kin_value_str("\u20ac\U0001f600x");
    CHECK_EQ(kin_value_len(&value), 3);
    check_repr(value, "'\u20ac\U0001f600x'");
    check_repr(kin_value_str_sized("a\0b\n\t\\\x7f\u00a0", 9), "'a\\x00b\\n\\t\\\\\\x7f\\xa0'");
    check_repr(kin_value_str("it's"), "\"it's\"");
    check_repr(kin_value_str("\"it's\""), "'\"it\\'s\"'");
    check_repr(kin_value_bytes("\0'\xff", 3), "b\"\\x00'\\xff\"");
    check_repr(kin_value_bytearray("a", 1), "bytearray(b'a')");
    check_repr(kin_value_str("\xed\xa0\x80"), "'\\ud800'");
    value = kin_value_str(NULL);
    CHECK_RC(kin_value_error_code(&value), -EINVAL);
}

TEST(printing_is_cut_between_characters)
{
    char text[8];
    kin_value value = kin_value_str("ab\u20accd");
    CHECK_RC(kin_value_repr(&value, NULL, 0), 9);
    CHECK_RC(kin_value_repr(&value, text, 6), 9);
    CHECK_STR(text, "'ab");
    CHECK_RC(kin_value_repr(&value, text, 7), 9);
    CHECK_STR(text, "'ab\u20ac");
    CHECK_RC(kin_value_text(&value, text, 1), 7);
    CHECK_STR(text, "");
    CHECK_RC(kin_value_text(&value, text, sizeof text), 7);
    CHECK_STR(text, "ab\u20accd");
    CHECK_RC(kin_value_repr(NULL, text, 8), -EINVAL);
    CHECK_RC(kin_value_repr(&value, NULL, 8), -EINVAL);
}

TEST(arrays)
{
    static const short numbers[] = {1, -2, 3};
    kin_value array = kin_value_array('h', numbers, 3), item = kin_value_array_get(&array, -1);
    CHECK_EQ(kin_value_array_typecode(&array), 'h');
    CHECK_EQ(kin_value_len(&array), 3);
    check_repr(item, "3");
    item = kin_value_int(32767);
    CHECK_RC(kin_value_array_set(&array, 0, &item), 0);
    item = kin_value_int(32768);
    CHECK_RC(kin_value_array_set(&array, 0, &item), -ERANGE);
    item = kin_value_float(1);
    CHECK_RC(kin_value_array_set(&array, 0, &item), KIN_EKIND);
    CHECK_RC(kin_value_array_set(&array, 3, &item), -ERANGE);
    check_repr(kin_value_ref(&array), "array('h', [32767, -2, 3])");
    static const double same[] = {32767, -2, 3};
    CHECK_EQ(equal(array, kin_value_array('d', same, 3)), 1);
    check_repr(kin_value_array('d', NULL, 0), "array('d')");
    check_repr(kin_value_array('u', L"x\u20ac", 2), "array('u', 'x\u20ac')");
    array = kin_value_array('x', numbers, 3);
    CHECK_RC(kin_value_error_code(&array), -EINVAL);
    array = kin_value_array('Q', NULL, 3);
    CHECK_RC(kin_value_error_code(&array), -EINVAL);
    CHECK_RC(kin_value_array_typecode(&item), KIN_EKIND);
}

TEST(truth_is_pythons)
{
    kin_value truthy[] = {kin_value_int(-1),
                          kin_value_str("0"),
                          kin_value_float(NAN),
                          kin_value_build("(N)"),
                          kin_value_uint(UINT64_MAX),
                          kin_value_complex(0, 1),
                          kin_value_slice(kin_value_none(), kin_value_none(), kin_value_none())};
    kin_value falsy[] = {kin_value_none(),  kin_value_bool(false),  kin_value_float(-0.0),
                         kin_value_str(""), kin_value_build("()"),  kin_value_build("{}"),
                         kin_value_set(),   kin_value_complex(0, 0)};
    for (size_t i = 0; i < sizeof truthy / sizeof *truthy; i++) {
        CHECK_EQ(kin_value_is_true(&truthy[i]), 1);
        kin_value_clear(&truthy[i]);
    }
    for (size_t i = 0; i < sizeof falsy / sizeof *falsy; i++) {
        CHECK_EQ(kin_value_is_true(&falsy[i]), 0);
        kin_value_clear(&falsy[i]);
    }
}

TEST(exceptions_and_classes)
{
    kin_value error = kin_value_errorf("queue.Empty", "after %d s", 3);
    CHECK(kin_value_class_is(&error, "queue.Empty"));
    CHECK(!kin_value_class_is(&error, "queue.Full"));
    CHECK_STR(kin_value_class_module(&error), "queue");
    CHECK_RC(kin_value_error_set_traceback(&error, "Traceback"), 0);
    CHECK_STR(kin_value_error_traceback(&error), "Traceback");
    char text[40];
    CHECK_RC(kin_value_text(&error, text, sizeof text), 9);
    CHECK_STR(text, "after 3 s");
    check_repr(error, "Empty('after 3 s')");
    check_repr(kin_value_error("KeyError", kin_value_build("(si)", "a", 1)), "KeyError('a', 1)");
    check_repr(kin_value_class("list"), "<class 'list'>");
    check_repr(kin_value_class("my.module.Thing"), "<class 'my.module.Thing'>");
    check_repr(kin_value_object("multiprocessing.managers.Namespace", kin_value_build("()"),
                                kin_value_build("{s:i}", "x", 1)),
               "Namespace(x=1)");
    static const char *const bad[] = {"", "a\nb", "a..b", ".a", "a.", "a b", "1a", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kin_value value = kin_value_error(bad[i], kin_value_build("(s)", "text in a block of its own"));
        CHECK_RC(kin_value_error_code(&value), -EINVAL);
    }
    kin_value value = kin_value_error("KeyError", kin_value_build("[i]", 1));
    CHECK_RC(kin_value_error_code(&value), KIN_EKIND);
    CHECK(!kin_value_class_is(&value, "KeyError"));
    CHECK(kin_value_class_name(&value) == NULL);
}

TEST(tokens_and_proxies)
{
    kin_value token = kin_value_token("Queue", kin_value_build("(si)", "127.0.0.1", 5000), "7f00");
    kin_value proxy = kin_value_proxy("multiprocessing.managers.AutoProxy", kin_value_ref(&token),
                                      kin_value_build("(ss)", "get", "put"));
    CHECK_STR(kin_value_token_type(&token), "Queue");
    CHECK_STR(kin_value_token_id(&proxy), "7f00");
    CHECK_EQ(kin_value_len(kin_value_proxy_exposed(&proxy)), 2);
    CHECK(kin_value_token_id(kin_value_token_address(&token)) == NULL);
    check_repr(proxy, "<AutoProxy object, typeid 'Queue' at 0x7f00>");
    check_repr(token, "Token(typeid='Queue', address=('127.0.0.1', 5000), id='7f00')");
    proxy = kin_value_proxy("X", kin_value_build("(s)", "no token, but a text in a block"), kin_value_none());
    CHECK_RC(kin_value_error_code(&proxy), KIN_EKIND);
    token = kin_value_token("Queue", kin_value_int(1), "7f00");
    CHECK_RC(kin_value_error_code(&token), KIN_EKIND);
    token = kin_value_token("Queue", kin_value_none(), "\xff");
    CHECK_RC(kin_value_error_code(&token), -EILSEQ);
}

TEST(slices_resolve_as_in_python)
{
    static const struct {
        long start, stop, step, length, first, count;
    } rows[] = {{1, 99, 1, 5, 1, 4},   {-2, 99, 1, 5, 3, 2},   {-99, 99, 2, 5, 0, 3},
                {4, -99, -1, 5, 4, 5}, {99, -99, -3, 5, 4, 2}, {3, 1, 1, 5, 3, 0},
                {0, 0, 1, 0, 0, 0},    {-1, 99, 1, 0, 0, 0},   {0, 5, 1000000, 5, 0, 1}};
    long start, step, count;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        kin_value slice = kin_value_slice(kin_value_int(rows[i].start), kin_value_int(rows[i].stop),
                                          kin_value_int(rows[i].step));
        test_context("row %zu", i);
        CHECK_RC(kin_value_slice_over(&slice, rows[i].length, &start, &step, &count), 0);
        CHECK_EQ(start, rows[i].first);
        CHECK_EQ(count, rows[i].count);
        CHECK_EQ(step, rows[i].step);
        kin_value_clear(&slice);
    }
    kin_value slice = kin_value_slice(kin_value_none(), kin_value_none(), kin_value_int(-1));
    CHECK_RC(kin_value_slice_over(&slice, 3, &start, &step, &count), 0);
    CHECK_EQ(start, 2);
    CHECK_EQ(count, 3);
    check_repr(slice, "slice(None, None, -1)");
    slice = kin_value_slice(kin_value_none(), kin_value_none(), kin_value_int(0));
    CHECK_RC(kin_value_slice_over(&slice, 3, &start, &step, &count), -EINVAL);
    kin_value_clear(&slice);
    slice = kin_value_slice(kin_value_str("a"), kin_value_none(), kin_value_none());
    CHECK_RC(kin_value_slice_over(&slice, 3, &start, &step, &count), KIN_EKIND);
    kin_value_clear(&slice);
    check_repr(kin_value_range(kin_value_int(1), kin_value_int(5), kin_value_int(1)), "range(1, 5)");
    slice = kin_value_range(kin_value_int(1), kin_value_int(5), kin_value_int(0));
    CHECK_RC(kin_value_error_code(&slice), -EINVAL);
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *hold_and_give_up(void *shared)
{
    for (int i = 0; i < 20000; i++) {
        kin_value mine = kin_value_ref(shared), inner = kin_value_ref(kin_value_at(&mine, 1));
        kin_value_clear(&mine);
        if (kin_value_len(&inner) != 20) return shared;
        kin_value_clear(&inner);
    }
    return NULL;
}

TEST(threads_hold_references_to_one_value)
{
    pthread_t thread[4];
    void *failed;
    kin_value shared = kin_value_build("(is)", 1, "a text of 20 letters");
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&thread[i], NULL, hold_and_give_up, &shared), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(thread[i], &failed), 0);
        CHECK(failed == NULL);
    }
    kin_value_clear(&shared);
}
