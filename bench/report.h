/* report.h: how measured cases become a table and JSON; between support.c and report.c. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "support.h"

enum { BENCH_MAX_ROUNDS = 99, BENCH_MAX_CONTENDERS = 32, BENCH_REASON_SIZE = 240 };

enum bench_status { BENCH_OK, BENCH_IS_MISSING, BENCH_IS_UNABLE, BENCH_FAILED };

struct bench_result {
    const struct bench_contender *contender;
    enum bench_status status;
    char reason[BENCH_REASON_SIZE]; /* when it is unable or failed */
    long count;                     /* operations of one run */
    int runs;
    double figures[BENCH_MAX_ROUNDS]; /* in the order they were measured */
    double ratios[BENCH_MAX_ROUNDS];  /* of kin's runs: see bench_pair; 0: it had no pairs */
    double median, lowest, highest, ratio;
};

struct bench_outcome {
    const struct bench_case *test;
    int count;
    struct bench_result results[BENCH_MAX_CONTENDERS];
};

/* Sorts them. */
double bench_median(double *figures, size_t count);
bool bench_less_is_better(const struct bench_case *test);
void bench_summarize(struct bench_result *result);
void bench_print(FILE *out, const char *title, const struct bench_outcome *outcome);

/* JSON: begin, each outcome in order, end. */
void bench_json_begin(FILE *out, const char *title, bool quick);
void bench_json_case(FILE *out, const struct bench_outcome *outcome, bool first);
void bench_json_end(FILE *out);

#endif
