/* test_container.c: tuples, lists, dicts and sets; dicts and lists against plain arrays under many
 * random changes. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/container.h>

static void check_repr(const kin_value *value, const char *expected)
{
    char text[400];
    CHECK_OK(kin_value_repr(value, text, sizeof text));
    CHECK_STR(text, expected);
}

static int64_t number_of(const kin_value *value)
{
    int64_t number;
    CHECK_RC(kin_value_get_int(value, &number), 0);
    return number;
}

TEST(lists_as_in_python)
{
    kin_value list = kin_value_build("[iii]", 1, 2, 3), other = kin_value_build("[ii]", 8, 9);
    CHECK_RC(kin_value_list_insert(&list, 0, kin_value_int(0)), 0);
    CHECK_RC(kin_value_list_insert(&list, -1, kin_value_str("before the last")), 0);
    CHECK_RC(kin_value_list_insert(&list, -99, kin_value_none()), 0);
    CHECK_RC(kin_value_list_insert(&list, 99, kin_value_bool(true)), 0);
    check_repr(&list, "[None, 0, 1, 2, 'before the last', 3, True]");
    CHECK_RC(kin_value_list_set(&list, -1, kin_value_int(4)), 0);
    CHECK_RC(kin_value_list_set(&list, 7, kin_value_str("a text in a block of its own")), -ERANGE);
    kin_value out = kin_value_list_pop(&list, 4);
    check_repr(&out, "'before the last'");
    kin_value_clear(&out);
    out = kin_value_list_pop(&list, 6);
    CHECK_RC(kin_value_error_code(&out), -ERANGE);
    kin_value items[2] = {kin_value_ref(&other), kin_value_int(7)};
    CHECK_RC(kin_value_list_splice(&list, 1, 3, items, 2), 0);
    check_repr(&list, "[None, [8, 9], 7, 3, 4]");
    CHECK_RC(kin_value_list_splice(&list, 5, 1, NULL, 0), -ERANGE);
    CHECK_RC(kin_value_list_splice(&list, 0, 0, NULL, 1), -EINVAL);
    CHECK_RC(kin_value_list_reverse(&list), 0);
    check_repr(&list, "[4, 3, 7, [8, 9], None]");
    CHECK_EQ(kin_value_contains(&list, &other), 1);
    CHECK_EQ(number_of(kin_value_at(&list, -5)), 4);
    CHECK(kin_value_at(&list, -6) == NULL);
    CHECK(kin_value_at(&list, 5) == NULL);
    CHECK_RC(kin_value_empty(&list), 0);
    check_repr(&list, "[]");
    out = kin_value_list_pop(&list, -1);
    CHECK_RC(kin_value_error_code(&out), -ERANGE);
    CHECK_RC(kin_value_list_append(&out, kin_value_str("a text in a block of its own")), KIN_EKIND);
    CHECK_RC(kin_value_list_append(NULL, kin_value_str("a text in a block of its own")), -EINVAL);
    kin_value_clear(&list);
    kin_value_clear(&other);
}

TEST(sorting_keeps_the_order_of_equals)
{
    kin_value list = kin_value_build("[(is)(is)(is)(is)]", 2, "b", 1, "z", 2, "a", 1, "a"), mixed, same;
    CHECK_RC(kin_value_list_sort(&list, false), 0);
    check_repr(&list, "[(1, 'a'), (1, 'z'), (2, 'a'), (2, 'b')]");
    kin_value_clear(&list);
    same = kin_value_build("[dibi]", 1.0, 1, 1, 0);
    CHECK_RC(kin_value_list_sort(&same, false), 0);
    check_repr(&same, "[0, 1.0, 1, True]");
    CHECK_RC(kin_value_list_sort(&same, true), 0);
    check_repr(&same, "[1.0, 1, True, 0]");
    kin_value_clear(&same);
    mixed = kin_value_build("[isi]", 3, "a", 1);
    CHECK_RC(kin_value_list_sort(&mixed, false), KIN_EKIND);
    check_repr(&mixed, "[3, 'a', 1]");
    kin_value_clear(&mixed);
    list = kin_value_list(NULL, 0);
    CHECK_RC(kin_value_list_sort(&list, false), 0);
    for (unsigned i = 0; i < 1000; i++)
        CHECK_RC(kin_value_list_append(&list, kin_value_int(i * 7919 % 1000)), 0);
    CHECK_RC(kin_value_list_sort(&list, false), 0);
    for (long i = 0; i < 1000; i++) CHECK_EQ(number_of(kin_value_at(&list, i)), i);
    kin_value_clear(&list);
}

TEST(dicts_keep_the_order_and_the_first_key)
{
    kin_value dict = kin_value_dict(), key = kin_value_float(1.0), out;
    CHECK_RC(kin_value_dict_set(&dict, kin_value_int(1), kin_value_str("one")), 0);
    CHECK_RC(kin_value_dict_set_str(&dict, "a key that is longer than a value", kin_value_int(2)), 0);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_bool(true), kin_value_str("true")), 0);
    check_repr(&dict, "{1: 'true', 'a key that is longer than a value': 2}");
    check_repr(kin_value_dict_get(&dict, &key), "'true'");
    CHECK_EQ(number_of(kin_value_dict_get_str(&dict, "a key that is longer than a value")), 2);
    CHECK(kin_value_dict_get_str(&dict, "a key") == NULL);
    out = kin_value_dict_pop(&dict, &key);
    check_repr(&out, "'true'");
    kin_value_clear(&out);
    out = kin_value_dict_pop(&dict, &key);
    CHECK_RC(kin_value_error_code(&out), -ENOENT);
    CHECK_EQ(kin_value_len(&dict), 1);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_build("[i]", 1), kin_value_str("a text in a block")),
             KIN_EKIND);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_build("([i])", 1), kin_value_none()), KIN_EKIND);
    CHECK_RC(kin_value_dict_set(&dict, kin_value_build("(i(sN))", 1, "x"), kin_value_none()), 0);
    kin_value list = kin_value_build("[i]", 1);
    CHECK_RC(kin_value_contains(&dict, &list), KIN_EKIND);
    CHECK(kin_value_dict_get(&dict, &list) == NULL);
    CHECK_RC(kin_value_dict_set(&list, kin_value_str("a text in a block of its own"), kin_value_none()),
             KIN_EKIND);
    kin_value_clear(&list);
    kin_value_clear(&dict);
}

TEST(equal_whatever_the_order_of_insertion)
{
    kin_value a = kin_value_build("{s:i, i:s}", "x", 1, 2, "y"),
              b = kin_value_build("{d:s, s:b}", 2.0, "y", "x", 1);
    CHECK_EQ(kin_value_equal(&a, &b), 1);
    CHECK_RC(kin_value_dict_set_str(&b, "x", kin_value_int(2)), 0);
    CHECK_EQ(kin_value_equal(&a, &b), 0);
    kin_value_clear(&a);
    kin_value_clear(&b);
    kin_value one[] = {kin_value_int(1), kin_value_str("x")},
              two[] = {kin_value_str("x"), kin_value_float(1)};
    uint64_t hash_one, hash_two;
    a = kin_value_frozenset(one, 2);
    b = kin_value_frozenset(two, 2);
    CHECK_EQ(kin_value_equal(&a, &b), 1);
    CHECK_RC(kin_value_hash(&a, &hash_one), 0);
    CHECK_RC(kin_value_hash(&b, &hash_two), 0);
    CHECK_EQ(hash_one, hash_two);
    kin_value set = kin_value_set();
    CHECK_EQ(kin_value_set_add(&set, kin_value_ref(&a)), 1);
    CHECK_EQ(kin_value_set_add(&set, kin_value_ref(&b)), 0);
    check_repr(&set, "{frozenset({1, 'x'})}");
    CHECK_EQ(kin_value_set_discard(&set, &b), 1);
    CHECK_EQ(kin_value_set_discard(&set, &b), 0);
    check_repr(&set, "set()");
    CHECK_RC(kin_value_hash(&set, &hash_one), KIN_EKIND);
    kin_value_clear(&a);
    kin_value_clear(&b);
    kin_value_clear(&set);
}

/* A dict and an array of the same thousand places, changed a hundred thousand times. */
TEST(a_dict_agrees_with_an_array)
{
    enum { PLACES = 1000, CHANGES = 100000 };
    static int64_t stored[PLACES];
    long live = 0;
    uint64_t random = 88172645463325252u;
    kin_value dict = kin_value_dict();
    for (int i = 0; i < CHANGES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t place = random % (i % 20000 < 5000 ? 5 : PLACES);
        char name[40];
        snprintf(name, sizeof name, place % 2 ? "%zu" : "a longer name of the place %zu", place);
        kin_value key = place % 3 ? kin_value_str(name) : kin_value_int((int64_t)place);
        if (random >> 40 & 1) {
            live += stored[place] == 0;
            stored[place] = i + 1;
            CHECK_RC(kin_value_dict_set(&dict, kin_value_ref(&key), kin_value_int(i + 1)), 0);
        } else {
            kin_value out = kin_value_dict_pop(&dict, &key);
            if (stored[place])
                CHECK_EQ(number_of(&out), stored[place]);
            else
                CHECK_RC(kin_value_error_code(&out), -ENOENT);
            live -= stored[place] != 0;
            stored[place] = 0;
        }
        CHECK_EQ(kin_value_len(&dict), live);
        CHECK_EQ(kin_value_contains(&dict, &key), stored[place] != 0);
        kin_value_clear(&key);
    }
    const kin_value *key, *item;
    long seen = 0;
    for (size_t at = 0; kin_value_next(&dict, &at, &key, &item);) seen += number_of(item) > 0;
    CHECK_EQ(seen, live);
    CHECK_RC(kin_value_empty(&dict), 0);
    CHECK_EQ(kin_value_len(&dict), 0);
    CHECK_RC(kin_value_dict_set_str(&dict, "again", kin_value_none()), 0);
    check_repr(&dict, "{'again': None}");
    kin_value_clear(&dict);
}

TEST(what_is_nested_deeply_ends_with_an_error)
{
    uint64_t hash;
    kin_value deep = kin_value_build("()"), list = kin_value_list(NULL, 0);
    for (int i = 0; i < 100000; i++) deep = kin_value_tuple(&deep, 1);
    kin_value same = kin_value_tuple((kin_value[]){kin_value_ref(&deep)}, 1), copy = kin_value_copy(&deep);
    CHECK_RC(kin_value_error_code(&copy), -ELOOP);
    CHECK_RC(kin_value_equal(&deep, &same), -ELOOP);
    CHECK_RC(kin_value_less(&deep, &same), -ELOOP);
    CHECK_RC(kin_value_hash(&deep, &hash), -ELOOP);
    CHECK_OK(kin_value_repr(&deep, NULL, 0));
    CHECK_RC(kin_value_list_append(&list, kin_value_ref(&list)), 0);
    copy = kin_value_copy(&list);
    CHECK_RC(kin_value_error_code(&copy), -ELOOP);
    check_repr(&list, "[[...]]");
    CHECK_RC(kin_value_empty(&list), 0);
    kin_value_clear(&list);
    kin_value_clear(&same);
    kin_value_clear(&deep); /* without recursion: a hundred thousand calls would end the stack */
}

/* ---- by format ------------------------------------------------------------------------------- */

TEST(build_and_parse)
{
    int i = 0;
    unsigned u = 0;
    long l = 0;
    int64_t wide = 0;
    uint64_t natural = 0;
    double d = 0;
    bool b = false;
    const char *s = NULL, *z = "not changed";
    const void *bytes = NULL;
    size_t size = 0, length = 0;
    const kin_value *list = NULL;
    kin_value value = kin_value_build("(iIlLKdb, s, N, y#, [ii], s#)", -1, 2u, -3L, INT64_MIN, UINT64_MAX,
                                      0.5, 7, "text", "by\0te", (size_t)5, 8, 9, "sized", (size_t)3);
    check_repr(&value, "(-1, 2, -3, -9223372036854775808, 18446744073709551615, 0.5, True, 'text', None, "
                       "b'by\\x00te', [8, 9], 'siz')");
    CHECK_RC(kin_value_parse(&value, "(iIlLKdb s z y# v s#)", &i, &u, &l, &wide, &natural, &d, &b, &s, &z,
                             &bytes, &size, &list, &z, &length),
             0);
    CHECK_EQ(i, -1);
    CHECK_EQ(u, 2);
    CHECK_EQ(l, -3);
    CHECK_EQ(wide, INT64_MIN);
    CHECK_EQ(natural, UINT64_MAX);
    CHECK_EQ(d, 0.5);
    CHECK(b);
    CHECK_STR(s, "text");
    CHECK_MEM(bytes, "by\0te", size);
    CHECK_EQ(kin_value_len(list), 2);
    CHECK_STR(z, "siz");
    CHECK_EQ(length, 3);
    kin_value_clear(&value);
}

TEST(parse_says_what_does_not_fit)
{
    int i = 5, j = 6;
    unsigned u = 7;
    const char *s = "unset";
    const kin_value *v = NULL;
    kin_value value = kin_value_build("(is)", 1, "a");
    CHECK_RC(kin_value_parse(&value, "(is|iv)", &i, &s, &j, &v), 0);
    CHECK_EQ(j, 6);
    CHECK(v == NULL);
    CHECK_RC(kin_value_parse(&value, "(i)", &i), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "(i*)", &i), 0);
    CHECK_RC(kin_value_parse(&value, "(isi)", &i, &s, &j), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "[is]", &i, &s), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "(ii)", &i, &j), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "(iN)", &i), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "(is", &i, &s), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "(is))", &i, &s), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "(i?)", &i, &s), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "", &i), -EINVAL);
    CHECK_RC(kin_value_parse(&value, NULL, &i), -EINVAL);
    kin_value_clear(&value);
    value = kin_value_int(-1);
    CHECK_RC(kin_value_parse(&value, "I", &u), -ERANGE);
    value = kin_value_int(1ll << 40);
    CHECK_RC(kin_value_parse(&value, "i", &i), -ERANGE);
    CHECK_EQ(u, 7);
    value = kin_value_str_sized("a\0b", 3);
    CHECK_RC(kin_value_parse(&value, "s", &s), KIN_EKIND);
    value = kin_value_build("{s:i, s:(ii)}", "a", 1, "b", 2, 3);
    CHECK_RC(kin_value_parse(&value, "{s:(ii), s:i}", "b", &i, &j, "a", &u), 0);
    CHECK_EQ(i * 100 + j * 10 + (int)u, 231);
    CHECK_RC(kin_value_parse(&value, "{s:i}", "c", &i), KIN_EKIND);
    CHECK_RC(kin_value_parse(&value, "{s:i | s:(ii)}", "a", &i, "c", &j, &u), 0);
    kin_value_clear(&value);
    value = kin_value_failed(-EPERM);
    CHECK_RC(kin_value_parse(&value, "v", &v), -EPERM);
}

TEST(null_takes_and_gives_nothing)
{
    int i = 0;
    size_t size = 0;
    const char *s = NULL;
    static const char *const formats[] = {"(i)", "(l)",  "(L)",  "(I)",  "(k)",   "(K)",  "(d)",
                                          "(b)", "(s#)", "(z#)", "(y#)", "(|iv)", "(|y#)"};
    kin_value value = kin_value_build("(i)", 1);
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
        test_context("format %s", formats[k]);
        CHECK_RC(kin_value_parse(&value, formats[k], NULL, NULL), -EINVAL);
    }
    test_context(NULL);
    CHECK_RC(kin_value_parse(&value, "(i|v)", &i, NULL), -EINVAL);
    kin_value_clear(&value);
    value = kin_value_build("{s:s}", "a", "b");
    CHECK_RC(kin_value_parse(&value, "{s:s}", NULL, &s), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "{s:s}", "a", NULL), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "{s:s#}", "a", &s, NULL), -EINVAL);
    CHECK_RC(kin_value_parse(&value, "{s:s#}", "a", NULL, &size), -EINVAL);
    kin_value_clear(&value);
    value = kin_value_build("(y#)", NULL, (size_t)3);
    CHECK_RC(kin_value_error_code(&value), -EINVAL);
    value = kin_value_build("{s:s#}", "a", NULL, (size_t)3);
    CHECK_RC(kin_value_error_code(&value), -EINVAL);
    value = kin_value_build("(y#s#)", NULL, (size_t)0, NULL, (size_t)0);
    CHECK_OK(kin_value_parse(&value, "(NN)"));
    kin_value_clear(&value);
}

TEST(build_uses_values_up_and_refuses_faulty_formats)
{
    static const char *const bad[] = {"", "(", "(i", "{i", "{i}", "?", "ii", "y", "(i]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_context("format %s", bad[i]);
        kin_value value = kin_value_build(bad[i], 1, 2, 3);
        CHECK_RC(kin_value_error_code(&value), -EINVAL);
    }
    test_context(NULL);
    /* The failed part comes first; what follows is used up all the same. */
    kin_value value = kin_value_build("[s, v, {v:v}]", "\xff", kin_value_str("a text in a block of its own"),
                                      kin_value_str("another text in a block"), kin_value_build("[i]", 1));
    CHECK_RC(kin_value_error_code(&value), -EILSEQ);
    value = kin_value_build("s", NULL);
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_NONE);
}
