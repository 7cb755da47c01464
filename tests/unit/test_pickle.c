/* test_pickle.c: pickles as CPython's managers send them, and as nobody should: the bytes are those
 * that were captured between Python programs, or made by hand to do harm. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/container.h>
#include <kin/object.h>
#include <kin/pickle.h>

#include "os/os.h"

/* A literal with NULs inside. */
#define LOADS(value, text) kin_pickle_loads((value), (text), sizeof(text) - 1, NULL)

static void check_repr(const kin_value *value, const char *expected)
{
    char text[2000];
    CHECK_OK(kin_value_repr(value, text, sizeof text));
    CHECK_STR(text, expected);
}

/* Reads, prints, writes and reads again. */
static void check_round(const char *bytes, size_t size, const char *expected)
{
    kin_value value, again;
    kin_buffer buffer = {0};
    kin_pickle_fault fault = {0};
    test_context("expecting %s", expected);
    int rc = kin_pickle_loads(&value, bytes, size, &(kin_pickle_options){.fault = &fault});
    if (rc < 0) FAIL("%s", fault.text);
    check_repr(&value, expected);
    CHECK_RC(kin_pickle_dumps(&value, &buffer), 0);
    CHECK_RC(kin_pickle_loads(&again, buffer.data, buffer.size, NULL), 0);
    check_repr(&again, expected);
    kin_value_clear(&value);
    kin_value_clear(&again);
    kin_buffer_free(&buffer);
    test_context(NULL);
}
#define ROUND(text, expected) check_round((text), sizeof(text) - 1, (expected))

static void check_refused(const char *bytes, size_t size, bool keep_unknown, int code, const char *words)
{
    kin_value value = kin_value_int(1);
    kin_pickle_fault fault = {0};
    test_context("expecting: %s", words);
    const kin_pickle_options options = {.keep_unknown = keep_unknown, .fault = &fault};
    CHECK_RC(kin_pickle_loads(&value, bytes, size, &options), code);
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_NONE);
    if (!strstr(fault.text, words)) FAIL("the fault is: %s", fault.text);
    kin_value text = kin_value_str(fault.text);
    CHECK_RC(kin_value_error_code(&text), 0);
    kin_value_clear(&text);
    test_context(NULL);
}
#define REFUSED(text, code, words)      check_refused((text), sizeof(text) - 1, false, (code), (words))
#define REFUSED_KEPT(text, code, words) check_refused((text), sizeof(text) - 1, true, (code), (words))

/* ---- what managers send --------------------------------------------------------------------- */

TEST(requests_of_both_protocols)
{
    ROUND("\x80\x04\x95\x23\0\0\0\0\0\0\0(N\x8c\x06"
          "create\x94\x8c\x0eget_task_queue\x94\x85\x94}\x94t\x94.",
          "(None, 'create', ('get_task_queue',), {})");
    ROUND("\x80\x03(NX\x06\0\0\0createq\0X\x0e\0\0\0get_task_queueq\1\x85q\2}q\3tq\4.",
          "(None, 'create', ('get_task_queue',), {})");
    ROUND("\x80\x04\x95\x30\0\0\0\0\0\0\0(\x8c\x0c"
          "7f8af1075be0\x94\x8c\x03get\x94)}\x94\x8c\x07timeout\x94G\x3f\xd3\x33\x33\x33\x33\x33\x33st\x94.",
          "('7f8af1075be0', 'get', (), {'timeout': 0.3})");
}

TEST(replies)
{
    ROUND("\x80\x04\x95\x0e\0\0\0\0\0\0\0\x8c\x07#RETURN\x94N\x86\x94.", "('#RETURN', None)");
    ROUND("\x80\x04\x95\x22\0\0\0\0\0\0\0\x8c\x06#ERROR\x94\x8c\x06_queue\x94\x8c\x05"
          "Empty\x94\x93\x94)R\x94\x86\x94.",
          "('#ERROR', Empty())");
    ROUND("\x80\x03X\x06\0\0\0#ERRORq\0cqueue\nEmpty\nq\1)Rq\2\x86q\3.", "('#ERROR', Empty())");
    /* Without a memo, as kin writes. */
    ROUND("\x80\x03(X\x07\0\0\0#RETURNNt.", "('#RETURN', None)");
}

TEST(slices_arrays_and_lists_of_views)
{
    ROUND("\x80\x04\x8c\x08"
          "builtins\x94\x8c\x05slice\x94\x93\x94K\1NN\x87\x94R.",
          "slice(1, None, None)");
    ROUND("\x80\x04\x8c\x05"
          "array\x94\x8c\x05"
          "array\x94\x93\x94\x8c\x01i\x94"
          "C\x0c\x09\0\0\0\2\0\0\0\3\0\0\0\x94\x86\x94R.",
          "array('i', [9, 2, 3])");
    ROUND("\x80\x04\x8c\x08"
          "builtins\x94\x8c\x04list\x94\x93\x94]\x94(K\1K\2e\x85\x94R.",
          "[1, 2]");
    /* array._array_reconstructor, big-endian. */
    ROUND("\x80\x03"
          "carray\n_array_reconstructor\n(carray\narray\nX\1\0\0\0iK\x09"
          "C\x08\0\0\0\7\xff\xff\xff\xfetR.",
          "array('i', [7, -2])");
    /* A typecode that there is not, in a form of UTF-16, whose items kin knows no size for either. */
    REFUSED("\x80\x03"
            "carray\n_array_reconstructor\n(carray\narray\nX\1\0\0\0jK\x13"
            "C\x04\0\0\0\7tR.",
            KIN_EREFUSED, "has a form kin does not read");
}

TEST(tokens_and_proxies)
{
    kin_value value;
    CHECK_RC(LOADS(&value,
                   "\x80\x03"
                   "cmultiprocessing.managers\nRebuildProxy\nq\2(cmultiprocessing.managers\nDictProxy\n"
                   "cmultiprocessing.managers\nToken\n)\x81X\4\0\0\0dictX\x09\0\0\0"
                   "127.0.0.1M\x27\xae\x86X\x0c\0\0\0"
                   "7fd37f02d4b0\x87"
                   "bX\6\0\0\0pickle}tR."),
             0);
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_PROXY);
    CHECK(kin_value_class_is(&value, "multiprocessing.managers.DictProxy"));
    CHECK_STR(kin_value_token_type(&value), "dict");
    CHECK_STR(kin_value_token_id(&value), "7fd37f02d4b0");
    check_repr(kin_value_token_address(&value), "('127.0.0.1', 44583)");
    CHECK(kin_value_proxy_exposed(&value) == NULL);
    kin_value_clear(&value);
    ROUND("\x80\x04\x8c\x18multiprocessing.managers\x94\x8c\x05Token\x94\x93\x94)\x81\x94\x8c\x08Iterator\x94"
          "\x8c\x09"
          "127.0.0.1\x94M\x21\xa6\x86\x94\x8c\x0c"
          "7fbab2f4ad40\x94\x87\x94"
          "b.",
          "Token(typeid='Iterator', address=('127.0.0.1', 42529), id='7fbab2f4ad40')");
}

TEST(exceptions_keep_their_state_and_traceback)
{
    kin_value value;
    /* AttributeError since 3.12, with a state. */
    CHECK_RC(
        LOADS(&value,
              "\x80\x04\x8c\x08"
              "builtins\x94\x8c\x0e"
              "AttributeError\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94}\x94(\x8c\x04name\x94\x8c\x04nope\x94"
              "\x8c\x04"
              "args\x94h\4ub."),
        0);
    CHECK(kin_value_class_is(&value, "AttributeError"));
    check_repr(&value, "AttributeError('x')");
    check_repr(kin_value_state(&value), "{'name': 'nope', 'args': ('x',)}");
    kin_value_clear(&value);
    CHECK_RC(
        LOADS(&value,
              "\x80\x03"
              "cmultiprocessing.pool\nrebuild_exc\ncbuiltins\nKeyError\nX\1\0\0\0k\x85RX\3\0\0\0why\x86R."),
        0);
    CHECK_STR(kin_value_error_traceback(&value), "why");
    check_repr(&value, "KeyError('k')");
    kin_value_clear(&value);
}

/* A name that is too long for the fault is not cut in a character. */
TEST(faults_are_texts)
{
    char bytes[128], *at = bytes;
    at += sprintf(at, "cshop\nx");
    for (int i = 0; i < 40; i++) at += sprintf(at, "\xc3\xa4");
    at += sprintf(at, "\n)\x81.");
    check_refused(bytes, (size_t)(at - bytes), false, KIN_EREFUSED, "shop.x\xc3\xa4");
}

TEST(classes_of_the_user_can_be_kept_as_names)
{
    static const char mine[] = "\x80\x03"
                               "cshop\nOutOfStock\nX\3\0\0\0tea\x85R.";
    kin_value value;
    REFUSED(mine, KIN_EREFUSED, "shop.OutOfStock is not among the globals");
    CHECK_RC(kin_pickle_loads(&value, mine, sizeof mine - 1, &(kin_pickle_options){.keep_unknown = true}), 0);
    CHECK_EQ(kin_value_kind(&value), KIN_VALUE_ERROR);
    CHECK_STR(kin_value_class_module(&value), "shop");
    check_repr(&value, "OutOfStock('tea')");
    kin_value_clear(&value);
}

/* What such a class would make of that nobody knows. */
TEST(what_classes_that_are_kept_as_names_cannot_have_is_refused_by_name)
{
    static const char *const containers[] = {
        "OrderedDict\n)R(K\1K\2u.", "OrderedDict\n)RK\1K\2s.", "deque\n)R(K\1e.",
        "deque\n)RK\1a.",           "deque\n)\x81(K\1e.",      "defaultdict\ncbuiltins\nlist\n\x85RK\1]s."};
    for (size_t i = 0; i < sizeof containers / sizeof containers[0]; i++) {
        char bytes[100], words[100];
        int size = snprintf(bytes, sizeof bytes,
                            "\x80\x03"
                            "ccollections\n%s",
                            containers[i]);
        snprintf(words, sizeof words, "collections.%.*s has items", (int)strcspn(containers[i], "\n"),
                 containers[i]);
        check_refused(bytes, (size_t)size, true, KIN_EREFUSED, words);
    }
    REFUSED_KEPT("\x80\x03"
                 "cshop\nTea\n)\x81NN\x86"
                 "b.",
                 KIN_EREFUSED, "shop.Tea has a state that kin does not read");
    REFUSED_KEPT("\x80\x04"
                 "cshop\nTea\n)}X\1\0\0\0aK\1s\x92.",
                 KIN_EREFUSED, "shop.Tea is made with keywords");
}

/* ---- old protocols -------------------------------------------------------------------------- */

TEST(protocol_0)
{
    ROUND("(lp0\nI1\naI01\naI00\naL12345678901234567890L\naF1.5\naVa\\u20ac\np1\nag1\naNa.",
          "[1, True, False, 12345678901234567890, 1.5, 'a\u20ac', 'a\u20ac', None]");
    ROUND("(dp0\nS'it\\'s'\np1\n(I1\nI-2\ntp2\ns.", "{\"it's\": (1, -2)}");
    ROUND("c_codecs\nencode\np0\n(Va\\u00ff\np1\nVlatin1\np2\ntp3\nRp4\n.", "b'a\\xff'");
    ROUND("c__builtin__\nset\np0\n((lp1\nI1\natRp2\n.", "{1}");
    ROUND("ccopy_reg\n_reconstructor\np0\n(cmultiprocessing.managers\nNamespace\np1\nc__builtin__\nobject\n"
          "p2\nNtp3\nRp4\n(dp5\nVx\np6\nI10\nsb.",
          "Namespace(x=10)");
    ROUND("Finf\n.", "inf");
}

/* ---- sharing and cycles --------------------------------------------------------------------- */

TEST(what_is_shared_stays_one_object)
{
    kin_value value, again;
    kin_buffer buffer = {0};
    /* x = [1]; [x, x] */
    CHECK_RC(LOADS(&value, "\x80\x03]q\0(]q\1K\1ah\1e."), 0);
    check_repr(&value, "[[1], [1]]");
    CHECK_RC(kin_pickle_dumps(&value, &buffer), 0);
    CHECK_RC(kin_pickle_loads(&again, buffer.data, buffer.size, NULL), 0);
    kin_value *first = (kin_value *)kin_value_at(&again, 0);
    CHECK_RC(kin_value_list_append(first, kin_value_int(2)), 0);
    check_repr(&again, "[[1, 2], [1, 2]]");
    check_repr(&value, "[[1], [1]]");
    kin_value_clear(&value);
    kin_value_clear(&again);
    kin_buffer_free(&buffer);
}

TEST(what_contains_itself_is_refused)
{
    REFUSED("\x80\x03]q\0h\0a.", KIN_EREFUSED, "contains itself");
    REFUSED("\x80\x03]q\0(]q\1h\0aeh\1h\0a.", KIN_EREFUSED, "contains itself");
    REFUSED("\x80\x03}q\0K\1h\0s.", KIN_EREFUSED, "contains itself");
    REFUSED("\x80\x03]2a.", KIN_EREFUSED, "contains itself");
    /* A tuple of a list, and the list gets the tuple. */
    REFUSED("\x80\x03]q\0\x85q\1h\0h\1a.", KIN_EREFUSED, "contains itself");
    REFUSED("\x80\x03"
            "cbuiltins\nKeyError\n)Rq\0}q\1K\1h\0sb.",
            KIN_EREFUSED, "");
}

TEST(a_list_that_contains_itself_can_be_written)
{
    kin_buffer buffer = {0};
    kin_value list = kin_value_list(NULL, 0);
    CHECK_RC(kin_value_list_append(&list, kin_value_ref(&list)), 0);
    CHECK_RC(kin_pickle_dumps(&list, &buffer), 0);
    CHECK_MEM(buffer.data, "\x80\x03]r\0\0\0\0(j\0\0\0\0e.", buffer.size);
    check_repr(&list, "[[...]]");
    CHECK_RC(kin_value_empty(&list), 0);
    kin_value_clear(&list);
    kin_buffer_free(&buffer);
}

/* ---- bounds --------------------------------------------------------------------------------- */

TEST(depth_is_bounded)
{
    char deep[2000];
    kin_value value;
    const size_t depth = 900;
    memset(deep, ']', depth);
    memset(deep + depth, 'a', depth - 1);
    deep[2 * depth - 1] = '.';
    CHECK_RC(kin_pickle_loads(&value, deep, 2 * depth, NULL), -ELOOP);
    CHECK_RC(kin_pickle_loads(&value, deep, 2 * depth, &(kin_pickle_options){.max_depth = 899}), 0);
    kin_value_clear(&value);
    CHECK_RC(kin_pickle_loads(&value, deep, 2 * depth, &(kin_pickle_options){.max_depth = 898}), -ELOOP);
}

static size_t size_of_pickle(const kin_value *value)
{
    kin_value again;
    kin_buffer bytes = {0};
    CHECK_OK(kin_pickle_dumps(value, &bytes));
    CHECK_OK(kin_pickle_loads(&again, bytes.data, bytes.size, NULL));
    CHECK_EQ(kin_value_equal(value, &again), 1);
    size_t size = bytes.size;
    kin_value_clear(&again);
    kin_buffer_free(&bytes);
    return size;
}

TEST(what_is_shared_and_large_is_written_once)
{
    static const char text[1000];
    kin_value pair = kin_value_none(), texts = kin_value_list(NULL, 0);
    kin_value one = kin_value_bytes(text, sizeof text);
    for (int i = 0; i < 18; i++) {
        kin_value two[2] = {pair, kin_value_ref(&pair)};
        pair = kin_value_tuple(two, 2);
    }
    for (int i = 0; i < 100; i++) CHECK_OK(kin_value_list_append(&texts, kin_value_ref(&one)));
    CHECK_LT(size_of_pickle(&pair), 18 * 11 + 20);
    CHECK_LT(size_of_pickle(&texts), 1000 + 100 * 5 + 20);
    kin_value_clear(&one);
    kin_value_clear(&texts);
    kin_value_clear(&pair);
}

/* Thirty lists, each with the one before it twice: a thousand million items for who walks over them. */
TEST(count_is_bounded_for_what_is_shared_too)
{
    kin_value value;
    kin_buffer bytes = {0};
    kin_pickle_options options = {.max_count = 4000};
    CHECK_RC(kin_buffer_append(&bytes, "]q\0", 3), 0);
    for (unsigned char i = 0; i < 30; i++) {
        unsigned char next[] = {
            'h', i, '\x86', '0', ']', '(', 'h', i, 'h', i, 'e', 'q', (unsigned char)(i + 1)};
        /* The first two get rid of what is on the stack: (x, x) is made and dropped. */
        CHECK_RC(kin_buffer_append(&bytes, next, sizeof next), 0);
        if (i == 9) {
            CHECK_RC(kin_buffer_append(&bytes, ".", 1), 0);
            CHECK_RC(kin_pickle_loads(&value, bytes.data, bytes.size, &options), 0);
            CHECK_EQ(kin_value_len(&value), 2);
            kin_value_clear(&value);
            bytes.size--;
        }
    }
    CHECK_RC(kin_buffer_append(&bytes, ".", 1), 0);
    CHECK_RC(kin_pickle_loads(&value, bytes.data, bytes.size, &options), -E2BIG);
    CHECK_RC(kin_pickle_loads(&value, bytes.data, bytes.size, NULL), -E2BIG);
    kin_buffer_free(&bytes);
    CHECK_RC(kin_pickle_loads(&value, "](K\1K\2e.", 8, &(kin_pickle_options){.max_count = 3}), 0);
    kin_value_clear(&value);
    CHECK_RC(kin_pickle_loads(&value, "](K\1K\2e.", 8, &(kin_pickle_options){.max_count = 2}), -E2BIG);
    CHECK_RC(kin_pickle_loads(&value, "](K\1K\2e.", 8, &(kin_pickle_options){.max_size = 7}), -EMSGSIZE);
}

/* ---- harm ----------------------------------------------------------------------------------- */

TEST(nothing_else_is_known)
{
    REFUSED("cos\nsystem\n(S'true'\ntR.", KIN_EREFUSED, "byte 0: os.system is not among");
    REFUSED("\x80\x04\x8c\x08"
            "builtins\x8c\x04"
            "eval\x93.",
            KIN_EREFUSED, "builtins.eval is not among");
    REFUSED("cfunctools\npartial\n.", KIN_EREFUSED, "functools.partial");
    REFUSED("cmultiprocessing.process\nAuthenticationString\n.", KIN_EREFUSED, "AuthenticationString");
    REFUSED("cbuiltins\nint\n)R.", KIN_EREFUSED, "builtins.int is not called");
    REFUSED("K\1)R.", KIN_EREFUSED, "a call of what is no class");
    REFUSED("cbuiltins\nlist\nK\1R.", KIN_EPICKLE, "arguments of a call");
    REFUSED("cbuiltins\nlist\nK\1\x85R.", KIN_EREFUSED, "builtins.list");
    REFUSED("cbuiltins\nrange\nK\1K\2K\0\x87R.", KIN_EREFUSED, "builtins.range");
    REFUSED("cbuiltins\nset\n]]a\x85R.", KIN_EKIND, "another kind");
    REFUSED("}]K\1s.", KIN_EKIND, "another kind");
    REFUSED("P1\n.", KIN_EREFUSED, "opcode 0x50");
    REFUSED("\x97.", KIN_EREFUSED, "opcode 0x97");
    REFUSED("\x80\x06N.", KIN_EPICKLE, "protocol 6");
    REFUSED("\xff.", KIN_EPICKLE, "0xff is no opcode");
    REFUSED("cmultiprocessing.managers\nToken\n)\x81K\1b.", KIN_EREFUSED, "state of a token");
    REFUSED("K\1}b.", KIN_EREFUSED, "a state of type dict for a value of type int");
}

TEST(what_is_malformed)
{
    REFUSED("", KIN_EPICKLE, "cut short");
    REFUSED(".", KIN_EPICKLE, "0 values");
    REFUSED("NN.", KIN_EPICKLE, "2 values");
    REFUSED("(N.", KIN_EPICKLE, "1 marks");
    REFUSED("t.", KIN_EPICKLE, "no MARK");
    REFUSED("0.", KIN_EPICKLE, "no MARK");
    REFUSED("N(a.", KIN_EPICKLE, "too few");
    REFUSED("(K\1s.", KIN_EPICKLE, "too few");
    REFUSED("(e.", KIN_EPICKLE, "too few");
    REFUSED("N(K\1e.", KIN_EPICKLE, "an item for a value of type NoneType");
    REFUSED("}(K\1u.", KIN_EPICKLE, "a key without a value");
    REFUSED("\x85.", KIN_EPICKLE, "too few");
    REFUSED("h\0.", KIN_EPICKLE, "no memo entry 0");
    REFUSED("Nr\xff\xff\xff\xff.", KIN_EPICKLE, "memo entry 4294967295");
    REFUSED("X\xff\xff\xff\x7f.", KIN_EPICKLE, "cut short");
    REFUSED("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", KIN_EPICKLE, "cut short");
    REFUSED("\x8a\x05\1\2.", KIN_EPICKLE, "cut short");
    REFUSED("\x8b\xff\xff\xff\xff.", KIN_EPICKLE, "cut short");
    REFUSED("\x95\xff\0\0\0\0\0\0\0N.", KIN_EPICKLE, "cut short");
    REFUSED("X\1\0\0\0\xff.", -EILSEQ, "");
    REFUSED("I12x\n.", KIN_EPICKLE, "a line");
    REFUSED("I12", KIN_EPICKLE, "within a line");
    REFUSED("F1,5\n.", KIN_EPICKLE, "a line");
    REFUSED("S'a\n.", KIN_EPICKLE, "a line");
    REFUSED("V\\u12\n.", KIN_EPICKLE, "a line");
    REFUSED("cos\n", KIN_EPICKLE, "within a line");
    REFUSED("NK\1\x93.", KIN_EPICKLE, "whose name is no str");
}

/* Every beginning of a pickle is refused, and none is read beyond its end. */
TEST(every_cut_is_noticed)
{
    static const char whole[] =
        "\x80\x04\x95\x30\0\0\0\0\0\0\0(\x8c\x0c"
        "7f8af1075be0\x94\x8c\x03get\x94)}\x94\x8c\x07timeout\x94G\x3f\xd3\x33\x33\x33\x33"
        "\x33\x33st\x94.";
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        kin_value value;
        char *bytes = malloc(size + 1); /* so that a sanitizer sees the end */
        memcpy(bytes, whole, size);
        bytes = realloc(bytes, size ? size : 1);
        CHECK_RC(kin_pickle_loads(&value, bytes, size, NULL), KIN_EPICKLE);
        free(bytes);
    }
}

TEST(bytes_can_stay_in_place)
{
    size_t size;
    kin_value value;
    kin_buffer buffer = {0};
    static char large[5000];
    kin_value bytes = kin_value_bytes(large, sizeof large);
    CHECK_RC(kin_pickle_dumps(&bytes, &buffer), 0);
    CHECK_RC(kin_pickle_loads(&value, buffer.data, buffer.size, &(kin_pickle_options){.in_place = true}), 0);
    const unsigned char *at = kin_value_get_bytes(&value, &size);
    CHECK(at > buffer.data && at < buffer.data + buffer.size);
    CHECK_EQ(kin_value_equal(&value, &bytes), 1);
    /* A copy is on its own. */
    kin_value copy = kin_value_copy(&value);
    buffer.data[buffer.size - 2] = 1;
    CHECK_EQ(kin_value_equal(&copy, &bytes), 1);
    CHECK_EQ(kin_value_equal(&value, &bytes), 0);
    kin_value_clear(&value);
    kin_value_clear(&bytes);
    kin_value_clear(&copy);
    kin_buffer_free(&buffer);
}

TEST(bad_arguments)
{
    kin_value value;
    kin_buffer buffer = {0};
    CHECK_RC(kin_pickle_loads(NULL, "N.", 2, NULL), -EINVAL);
    CHECK_RC(kin_pickle_loads(&value, NULL, 2, NULL), -EINVAL);
    CHECK_RC(kin_pickle_dumps(NULL, &buffer), -EINVAL);
    value = kin_value_none();
    CHECK_RC(kin_pickle_dumps(&value, NULL), -EINVAL);
    value = kin_value_failed(-EPERM);
    CHECK_RC(kin_pickle_dumps(&value, &buffer), -EPERM);
    CHECK_EQ(buffer.size, 0);
    CHECK_RC(kin_buffer_reserve(NULL, 1), -EINVAL);
    CHECK_RC(kin_buffer_reserve(&buffer, SIZE_MAX), -ENOMEM);
    CHECK_RC(kin_buffer_append(&buffer, NULL, 1), -EINVAL);
    kin_buffer_free(NULL);
    kin_buffer_free(&buffer);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* Each allocation fails in turn: an error, nothing left (the sanitizer's leak check sees to that). */
TEST(every_allocation_may_fail)
{
    static const char pickle[] = "(}(X\x10\0\0\0sixteen letters!](K\1K\2X\x10\0\0\0another sixteen!eu"
                                 "cbuiltins\nset\n](K\1K\2K\3e\x85R\x8a\x0a\1\2\3\4\5\6\7\x8\x9\xa(K\1K\2d"
                                 "cbuiltins\nKeyError\n)Rq\1"
                                 "carray\narray\nX\1\0\0\0iC\4\0\0\0\1\x86Rh\1F1.5\nVx\\u20ac\nS'a'\nt.";
    unsigned n = 0, calls;
    do {
        kin_value value, copy = kin_value_none();
        kin_buffer buffer = {0};
        kin__os_fault_set(KIN__FAULT_MEMORY, ++n, ENOMEM, false);
        int rc = kin_pickle_loads(&value, pickle, sizeof pickle - 1, NULL);
        if (rc == 0) rc = kin_pickle_dumps(&value, &buffer);
        if (rc == 0) {
            copy = kin_value_copy(&value);
            rc = kin_value_error_code(&copy);
        }
        calls = kin__os_fault_calls();
        kin__os_fault_set(KIN__FAULT_MEMORY, 0, 0, false);
        kin_value_clear(&value);
        kin_value_clear(&copy);
        kin_buffer_free(&buffer);
        CHECK_RC(rc, calls >= n ? -ENOMEM : 0);
    } while (calls >= n);
    CHECK_GT(n, 20);
}
