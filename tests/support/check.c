/* check.c: the checks.  One that fails writes one message in one piece and ends the process.
 *
 * Nothing here takes a lock or memory: a check may fail in a child forked from a program with
 * threads.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>

#include "outcome.h"
#include "test.h"
#include "test_state.h"

static char context_line[256];

void test_state_open(const char *file, double end)
{
    test_state.file = file;
    test_state.end = end;
    test_state.process = getpid();
    test_state.process_descriptor = (int)syscall(SYS_pidfd_open, getpid(), 0);
    test_state.failed = test_shared(sizeof(*test_state.failed));
}

bool test_state_failed(void)
{
    return atomic_load(test_state.failed);
}

static void write_line(const char *mark, const char *position, const char *format, va_list arguments)
{
    char line[2048];
    int used = snprintf(line, sizeof line, "%s%s", mark, position);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    if (more > 0) used += more;
    if (used > (int)sizeof line - 2) used = (int)sizeof line - 2;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)used) != used) _exit(OUTCOME_FAILED);
}

static void write_words(const char *mark, const char *position, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void write_words(const char *mark, const char *position, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(mark, position, format, arguments);
    va_end(arguments);
}

void test_context(const char *format, ...)
{
    context_line[0] = '\0';
    if (!format) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context_line, sizeof context_line, format, arguments);
    va_end(arguments);
}

static void end_the_case(void)
{
    if (test_state.failed) atomic_store(test_state.failed, true);
    if (test_state.process && getpid() != test_state.process) {
        syscall(SYS_pidfd_send_signal, test_state.process_descriptor, SIGKILL, NULL, 0);
    }
    _exit(OUTCOME_FAILED);
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char position[160];
    const char *slash = strrchr(file, '/');
    if (line > 0) {
        snprintf(position, sizeof position, "%s:%d: ", slash ? slash + 1 : file, line);
    } else {
        position[0] = '\0';
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(OUTCOME_FAILED_MARK, position, format, arguments);
    va_end(arguments);
    if (context_line[0]) write_words("  ", "at ", "%s", context_line);
    if (test_state.process && getpid() != test_state.process) {
        write_words("  ", "in ", "process %d of the case of process %d", (int)getpid(),
                    (int)test_state.process);
    }
    end_the_case();
    __builtin_unreachable();
}

void test_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(OUTCOME_SKIPPED_MARK, "", format, arguments);
    va_end(arguments);
    _exit(OUTCOME_SKIPPED);
}

void test_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(OUTCOME_NOTE_MARK, "", format, arguments);
    va_end(arguments);
}

/* ---- codes ------------------------------------------------------------------------------- */

static const char *code_text(long long code, char *text, size_t size)
{
    if (code >= 0 || code < INT_MIN) {
        snprintf(text, size, "%lld", code);
    } else {
        snprintf(text, size, "%lld (%s: %s)", code, kin_error_name((int)code), kin_strerror((int)code));
    }
    return text;
}

void test_check_code(const char *file, int line, const char *text, long long code)
{
    char words[200];
    if (code < 0) test_fail(file, line, "%s returned %s", text, code_text(code, words, sizeof words));
}

void test_check_same_code(const char *file, int line, const char *text, long long code, long long expected)
{
    char words[200], expected_words[200];
    if (code == expected) return;
    test_fail(file, line, "%s returned %s, expected %s", text, code_text(code, words, sizeof words),
              code_text(expected, expected_words, sizeof expected_words));
}

/* ---- values -------------------------------------------------------------------------------- */

static double real_of(struct test_value value)
{
    switch (value.kind) {
    case TEST_SIGNED: return (double)value.integer;
    case TEST_UNSIGNED: return (double)value.natural;
    case TEST_REAL: return value.real;
    case TEST_POINTER: return (double)(uintptr_t)value.pointer;
    }
    return 0;
}

static __int128 integer_of(struct test_value value)
{
    if (value.kind == TEST_SIGNED) return value.integer;
    if (value.kind == TEST_UNSIGNED) return value.natural;
    return (uintptr_t)value.pointer;
}

static bool relation_holds(struct test_value a, const char *relation, struct test_value b)
{
    bool less, same;
    if (a.kind == TEST_REAL || b.kind == TEST_REAL) {
        double left = real_of(a), right = real_of(b);
        if (left != left || right != right) return strcmp(relation, "!=") == 0;
        less = left < right;
        same = left == right;
    } else {
        less = integer_of(a) < integer_of(b);
        same = integer_of(a) == integer_of(b);
    }
    switch (relation[0]) {
    case '=': return same;
    case '!': return !same;
    case '<': return less || (relation[1] && same);
    default: return (!less && !same) || (relation[1] && same);
    }
}

static const char *value_text(struct test_value value, char *text, size_t size)
{
    switch (value.kind) {
    case TEST_SIGNED: snprintf(text, size, "%lld", value.integer); break;
    case TEST_UNSIGNED:
        snprintf(text, size, value.natural > 9 ? "%llu (%#llx)" : "%llu", value.natural, value.natural);
        break;
    case TEST_REAL: snprintf(text, size, "%.17g", value.real); break;
    case TEST_POINTER: snprintf(text, size, "%p", (const void *)(uintptr_t)value.pointer); break;
    }
    return text;
}

void test_check_relation(const char *file, int line, const char *text_a, const char *relation,
                         const char *text_b, struct test_value a, struct test_value b)
{
    char words_a[80], words_b[80];
    if (relation_holds(a, relation, b)) return;
    test_fail(file, line, "CHECK(%s %s %s): %s against %s", text_a, relation, text_b,
              value_text(a, words_a, sizeof words_a), value_text(b, words_b, sizeof words_b));
}

void test_check_string(const char *file, int line, const char *text_a, const char *text_b, const char *a,
                       const char *b)
{
    if (a && b ? strcmp(a, b) == 0 : a == b) return;
    test_fail(file, line, "CHECK_STR(%s, %s): \"%s\" against \"%s\"", text_a, text_b, a ? a : "(NULL)",
              b ? b : "(NULL)");
}

void test_check_memory(const char *file, int line, const char *text_a, const char *text_b, const void *a,
                       const void *b, size_t size)
{
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] == right[i]) continue;
        test_fail(file, line, "CHECK_MEM(%s, %s): byte %zu of %zu is %#x against %#x", text_a, text_b, i,
                  size, left[i], right[i]);
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

void test_pause(const char *file, int line, const char *condition, unsigned rounds)
{
    if (rounds < 50) {
        sched_yield();
        return;
    }
    if (test_seconds_left() < 0.5) test_fail(file, line, "waited in vain for %s", condition);
    /* The other side may be starved by a spinning waiter on the same processor. */
    struct timespec pause = {0, rounds < 500 ? 50000 : 500000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}
