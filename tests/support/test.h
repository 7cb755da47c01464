/* test.h: what a test program is made of: cases and checks.
 *
 * README.md beside this file says how to write one.  A check that fails ends the process it
 * is in, and with it the case; so a check may stand in any thread and any process of a case.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- cases ---------------------------------------------------------------------------- */

struct test_case {
    const char *name;
    const char *file;
    void (*run)(void);
    double deadline; /* seconds; 0: 60 */
    bool cold;       /* the family is not opened before the case */
    bool alone;      /* no other case runs meanwhile */
    struct test_case *next;
};

void test_register(struct test_case *test);

#define TEST(identifier, ...) \
    static void identifier##_test(void); \
    static struct test_case identifier##_case = { \
        .name = #identifier, .file = __FILE__, .run = identifier##_test, __VA_ARGS__}; \
    __attribute__((constructor)) static void identifier##_register(void) \
    { \
        test_register(&identifier##_case); \
    } \
    static void identifier##_test(void)

#define TEST_DEADLINE(identifier, seconds) TEST(identifier, .deadline = (seconds))
#define TEST_COLD(identifier)              TEST(identifier, .cold = true)

/* ---- checks ----------------------------------------------------------------------------- */

#define CHECK(condition) \
    do { \
        if (!(condition)) test_fail(__FILE__, __LINE__, "CHECK(%s)", #condition); \
    } while (0)

#define CHECK_EQ(a, b) TEST_RELATION(a, ==, b)
#define CHECK_NE(a, b) TEST_RELATION(a, !=, b)
#define CHECK_LT(a, b) TEST_RELATION(a, <, b)
#define CHECK_LE(a, b) TEST_RELATION(a, <=, b)
#define CHECK_GT(a, b) TEST_RELATION(a, >, b)
#define CHECK_GE(a, b) TEST_RELATION(a, >=, b)

#define CHECK_STR(a, b)        test_check_string(__FILE__, __LINE__, #a, #b, (a), (b))
#define CHECK_MEM(a, b, size)  test_check_memory(__FILE__, __LINE__, #a, #b, (a), (b), (size))
#define CHECK_OK(rc)           test_check_code(__FILE__, __LINE__, #rc, (rc))
#define CHECK_RC(rc, expected) test_check_same_code(__FILE__, __LINE__, #rc, (rc), (expected))
#define FAIL(...)              test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define SKIP(...) test_skip(__VA_ARGS__)
#define NOTE(...) test_note(__VA_ARGS__)

/* ---- what a case may use ------------------------------------------------------------------ */

/* Waits until the condition, which another process or thread makes true, holds. */
#define test_until(condition) \
    do { \
        for (unsigned rounds_ = 0; !(condition); rounds_++) \
            test_pause(__FILE__, __LINE__, #condition, rounds_); \
    } while (0)

/* Checks that a statement waits for so many seconds: never less, and not much more.  A machine that is
 * busy elsewhere makes everything late now and then: the statement is run again then. */
#define CHECK_WAITS(seconds_, ...) \
    for (double took_ = 1e9; took_ >= (seconds_) + 0.3 * test_time_scale();) { \
        double start_ = test_seconds(); \
        __VA_ARGS__; \
        took_ = test_seconds() - start_; \
        CHECK_GE(took_, (seconds_)); \
    }

/* For a sample that something on the machine may have spoilt: true when the case will begin once more, in a fresh
 * process, after it has come to its end.  False when it has done so often enough to know better, when the deadline
 * leaves no time for it, and in other processes than the case's own. */
bool test_again(void);
/* How often a thread that is woken for what it waits for may have looked, after so many seconds: some times, and
 * after each slice of 100 ms.  Who looks every 10 ms has looked more often after half a second. */
long test_looks_most(double seconds);
/* Seconds on the monotonic clock. */
double test_seconds(void);
/* Seconds the case may still run. */
double test_seconds_left(void);
/* Whether a sanitizer is compiled in; how much longer things may take then. */
bool test_sanitized(void);
double test_time_scale(void);
/* The case's own directory, $TMPDIR. */
const char *test_directory(void);
/* "unix:@NAME" that no other process has; it is the same each time. */
const char *test_abstract_address(void);
/* The path of a file of the sources, as "tests/interop/worker.py"; it stays until the fourth call after. */
const char *test_source(const char *name);
/* A line printed with the next check that fails in this process; NULL for none. */
void test_context(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Memory that this process and those forked from it later share; zeroed, never freed. */
void *test_shared(size_t size);
/* Forks a child that runs `function`, then exits with 0, and is killed when its parent ends. */
pid_t test_child(void (*function)(void *argument), void *argument);
/* Waits for a child and returns its status as waitpid gives it. */
int test_collect(pid_t child);
/* Kills a child and waits for it. */
void test_kill(pid_t child);
/* Sends a child SIGTERM, which it handles and ends; it is to be collected afterwards. */
void test_terminate(pid_t child);
/* Does the first thread of that process sleep in a system call? */
bool test_is_asleep(pid_t pid);
/* For cases that plant a fault to see it found: runs a case of this program by itself, in a
 * process where test_inner() is true, and checks that it fails with `text` in its output. */
void test_expect_failure(const char *case_name, const char *text);
bool test_inner(void);

/* ---- behind the macros ---------------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void test_check_code(const char *file, int line, const char *text, long long code);
void test_check_same_code(const char *file, int line, const char *text, long long code, long long expected);
void test_check_string(const char *file, int line, const char *text_a, const char *text_b, const char *a,
                       const char *b);
void test_check_memory(const char *file, int line, const char *text_a, const char *text_b, const void *a,
                       const void *b, size_t size);
void test_pause(const char *file, int line, const char *condition, unsigned rounds);

/* A value of any scalar type, so that -1 and 4294967295u are not equal. */
struct test_value {
    enum test_kind { TEST_SIGNED, TEST_UNSIGNED, TEST_REAL, TEST_POINTER } kind;
    union {
        long long integer;
        unsigned long long natural;
        double real;
        const volatile void *pointer;
    };
};

static inline struct test_value test_of_signed(long long value)
{
    return (struct test_value){.kind = TEST_SIGNED, .integer = value};
}

static inline struct test_value test_of_unsigned(unsigned long long value)
{
    return (struct test_value){.kind = TEST_UNSIGNED, .natural = value};
}

static inline struct test_value test_of_real(double value)
{
    return (struct test_value){.kind = TEST_REAL, .real = value};
}

static inline struct test_value test_of_pointer(const volatile void *value)
{
    return (struct test_value){.kind = TEST_POINTER, .pointer = value};
}

/* clang-format off */
#define TEST_VALUE(x) _Generic((x),                                                                           \
    _Bool: test_of_unsigned, unsigned char: test_of_unsigned, unsigned short: test_of_unsigned,               \
    unsigned: test_of_unsigned, unsigned long: test_of_unsigned, unsigned long long: test_of_unsigned,        \
    char: test_of_signed, signed char: test_of_signed, short: test_of_signed, int: test_of_signed,            \
    long: test_of_signed, long long: test_of_signed,                                                          \
    float: test_of_real, double: test_of_real,                                     \
    default: test_of_pointer)(x)
/* clang-format on */

#define TEST_RELATION(a, relation, b) \
    test_check_relation(__FILE__, __LINE__, #a, #relation, #b, TEST_VALUE(a), TEST_VALUE(b))
void test_check_relation(const char *file, int line, const char *text_a, const char *relation,
                         const char *text_b, struct test_value a, struct test_value b);

#endif
