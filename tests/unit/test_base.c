/* test_base.c: errors, deadlines, the log hook, the version. */
#include "support/test.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <kin/error.h>
#include <kin/log.h>
#include <kin/time.h>
#include <kin/version.h>

#include "base/error.h"
#include "base/log.h"

/* ---- errors ------------------------------------------------------------------------------------ */

TEST(every_code_has_its_name_and_text)
{
#define CHECK_CODE(identifier, value, text) \
    CHECK_EQ(identifier, value); \
    CHECK_STR(kin_error_name(value), #identifier); \
    CHECK_STR(kin_strerror(value), text);
    KIN_ERRORS(CHECK_CODE)
    CHECK_STR(kin_error_name(KIN_OWNER_DIED), "KIN_OWNER_DIED");
    CHECK(strstr(kin_strerror(KIN_OWNER_DIED), "died") != NULL);
}

TEST(errno_codes_have_names_and_texts)
{
    CHECK_STR(kin_error_name(-EINVAL), "EINVAL");
    CHECK_STR(kin_error_name(-EHWPOISON), "EHWPOISON");
    CHECK_STR(kin_strerror(-EINVAL), "Invalid argument");
    CHECK_STR(kin_strerror(-ENOENT), "No such file or directory");
    /* Of results and locks as well as of connections, of values as well as of files. */
    CHECK_STR(kin_strerror(-ETIMEDOUT), "the deadline has passed");
    CHECK_STR(kin_strerror(-ELOOP), "nested too deeply, or too many symbolic links");
}

TEST(codes_that_are_none_are_said_to_be)
{
    CHECK_STR(kin_strerror(0), "success");
    CHECK_STR(kin_strerror(12), "success");
    CHECK_STR(kin_strerror(INT_MAX), "success");
    CHECK_STR(kin_strerror(-999), "unknown error -999");
    CHECK_STR(kin_strerror(INT_MIN), "unknown error -2147483648");
    CHECK_STR(kin_error_name(0), "success");
    CHECK_STR(kin_error_name(-999), "unknown");
    CHECK_STR(kin_error_name(-5000), "unknown");
    CHECK_STR(kin_error_name(INT_MIN), "unknown");
}

static void *needed_size_elsewhere(void *size)
{
    *(size_t *)size = kin_needed_size();
    kin__needed_size_set(7);
    return NULL;
}

TEST(the_needed_size_belongs_to_the_thread)
{
    CHECK_EQ(kin_needed_size(), 0);
    kin__needed_size_set(4096);
    size_t elsewhere = 1;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, needed_size_elsewhere, &elsewhere), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(elsewhere, 0);
    CHECK_EQ(kin_needed_size(), 4096);
}

/* ---- deadlines --------------------------------------------------------------------------------- */

TEST(the_clock_is_the_monotonic_one)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    kin_deadline now = kin_clock();
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK_GE(now, before.tv_sec * 1000000000LL + before.tv_nsec);
    CHECK_LE(now, after.tv_sec * 1000000000LL + after.tv_nsec);
}

/* The deadline lies `ahead` ns after some moment of the call. */
#define CHECK_AHEAD(expression, ahead) \
    do { \
        kin_deadline before_ = kin_clock(); \
        kin_deadline deadline_ = (expression); \
        CHECK_GE(deadline_, before_ + (ahead)); \
        CHECK_LE(deadline_, kin_clock() + (ahead)); \
    } while (0)

TEST(deadlines_lie_ahead)
{
    CHECK_AHEAD(kin_in_ns(0), 0);
    CHECK_AHEAD(kin_in_ns(1), 1);
    CHECK_AHEAD(kin_in_ms(250), 250000000LL);
    CHECK_AHEAD(kin_in_s(5), 5000000000LL);
    CHECK_AHEAD(kin_in_s(0.25), 250000000LL);
    CHECK_AHEAD(kin_in_s(1e-9), 1);
}

TEST(negative_spans_have_passed)
{
    CHECK_LE(kin_in_ns(-1), kin_clock());
    CHECK_LE(kin_in_ns(INT64_MIN), kin_clock());
    CHECK_LE(kin_in_ms(-1), kin_clock());
    CHECK_LE(kin_in_ms(INT64_MIN), kin_clock());
    CHECK_LE(kin_in_s(-0.5), kin_clock());
    CHECK_LE(kin_in_s(-INFINITY), kin_clock());
    CHECK_LE(kin_in_s(NAN), kin_clock());
}

TEST(spans_without_end_are_for_ever)
{
    CHECK_EQ(kin_in_ns(INT64_MAX), KIN_FOREVER);
    CHECK_EQ(kin_in_ms(INT64_MAX), KIN_FOREVER);
    CHECK_EQ(kin_in_ms(INT64_MAX / 1000000 + 1), KIN_FOREVER);
    CHECK_EQ(kin_in_s(INFINITY), KIN_FOREVER);
    CHECK_EQ(kin_in_s(DBL_MAX), KIN_FOREVER);
    CHECK_EQ(kin_in_s(9223372037.0), KIN_FOREVER);
    CHECK_LT(kin_in_s(1e9), KIN_FOREVER);
}

/* ---- log and version --------------------------------------------------------------------------- */

struct heard {
    unsigned count;
    enum kin_log_level level;
    char line[600];
};

static void hear(enum kin_log_level level, const char *line, void *context)
{
    struct heard *heard = context;
    heard->count++;
    heard->level = level;
    snprintf(heard->line, sizeof heard->line, "%s", line);
}

static unsigned evaluated;

static int evaluate(void)
{
    return (int)++evaluated;
}

TEST(the_log_hook_gets_what_it_asked_for)
{
    struct heard heard = {0};
    kin__log(KIN_LOG_ERROR, "nobody listens to %d", evaluate());
    CHECK_EQ(evaluated, 0);
    kin_log_set(hear, KIN_LOG_WARNING, &heard);
    kin__log(KIN_LOG_INFO, "too low: %d", evaluate());
    CHECK_EQ(heard.count, 0);
    CHECK_EQ(evaluated, 0);
    kin__log(KIN_LOG_WARNING, "%s %d", "worker", 3);
    CHECK_EQ(heard.count, 1);
    CHECK_EQ(heard.level, KIN_LOG_WARNING);
    CHECK_STR(heard.line, "worker 3");
    kin_log_set(NULL, KIN_LOG_DEBUG, NULL);
    kin__log(KIN_LOG_ERROR, "nobody listens to %d", evaluate());
    CHECK_EQ(heard.count, 1);
    CHECK_EQ(evaluated, 0);
}

TEST(long_log_lines_are_cut)
{
    struct heard heard = {0};
    kin_log_set(hear, KIN_LOG_DEBUG, &heard);
    kin__log(KIN_LOG_DEBUG, "%1000d", 1);
    kin_log_set(NULL, KIN_LOG_DEBUG, NULL);
    CHECK_EQ(strlen(heard.line), 500);
}

TEST(the_version_is_that_of_the_headers)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", KIN_VERSION_MAJOR, KIN_VERSION_MINOR, KIN_VERSION_PATCH);
    CHECK_STR(KIN_VERSION, text);
    CHECK_STR(kin_version(), KIN_VERSION);
}
