/* report.c: medians, the table and JSON.
 *
 * Ratios are of medians within one run of the program.  "kin is" says how kin's figure stands
 * to that of the line: figure by figure, so that where less is better, less than 1 is better.
 * What was measured in turns with kin is compared by the median of the runs' ratios. */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *const role_names[] = {"limit", "peer", "kin"};
static const char *const status_names[] = {"ok", "missing", "unable", "failed"};

bool bench_less_is_better(const struct bench_case *test)
{
    return test->unit != BENCH_PER_SECOND;
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(double *figures, size_t count)
{
    qsort(figures, count, sizeof *figures, by_size);
    return (figures[(count - 1) / 2] + figures[count / 2]) / 2;
}

void bench_summarize(struct bench_result *result)
{
    if (result->status != BENCH_OK || result->runs == 0) return;
    double sorted[BENCH_MAX_ROUNDS];
    size_t runs = (size_t)result->runs;
    memcpy(sorted, result->ratios, runs * sizeof *sorted);
    result->ratio = bench_median(sorted, runs);
    memcpy(sorted, result->figures, runs * sizeof *sorted);
    result->median = bench_median(sorted, runs);
    result->lowest = sorted[0];
    result->highest = sorted[runs - 1];
}

/* ---- what is compared ------------------------------------------------------------------------ */

static const struct bench_result *find(const struct bench_outcome *outcome, const char *name)
{
    for (int i = 0; i < outcome->count; i++)
        if (outcome->results[i].status == BENCH_OK && !strcmp(outcome->results[i].contender->name, name))
            return &outcome->results[i];
    return NULL;
}

static const struct bench_result *first_of(const struct bench_outcome *outcome, enum bench_role role)
{
    for (int i = 0; i < outcome->count; i++)
        if (outcome->results[i].status == BENCH_OK && outcome->results[i].contender->role == role)
            return &outcome->results[i];
    return NULL;
}

static const struct bench_result *best_peer(const struct bench_outcome *outcome)
{
    const struct bench_result *best = NULL;
    for (int i = 0; i < outcome->count; i++) {
        const struct bench_result *result = &outcome->results[i];
        if (result->status != BENCH_OK || result->contender->role != BENCH_PEER) continue;
        bool less = best && result->median < best->median;
        if (!best || less == bench_less_is_better(outcome->test)) best = result;
    }
    return best;
}

/* How kin stands to another. */
static double stands(const struct bench_outcome *outcome, const struct bench_result *kin,
                     const struct bench_result *other)
{
    const char *in_turns = outcome->test->in_turns;
    if (kin->ratio > 0 && in_turns != NULL && !strcmp(in_turns, other->contender->name)) return kin->ratio;
    return kin->median / other->median;
}

struct verdict {
    const struct bench_result *kin;
    const struct bench_result *other; /* NULL: an absolute figure, or nothing to compare with */
    double reached;
    bool known;
    bool met;
};

static struct verdict judge(const struct bench_outcome *outcome, const struct bench_target *target)
{
    struct verdict verdict = {.kin = first_of(outcome, BENCH_KIN)};
    if (!target->against) {
        verdict.known = verdict.kin != NULL;
        verdict.reached = verdict.known ? verdict.kin->median : 0;
    } else {
        bool every = !strcmp(target->against, BENCH_EVERY_PEER);
        verdict.other = every ? best_peer(outcome) : find(outcome, target->against);
        verdict.known = verdict.kin && verdict.other;
        verdict.reached = verdict.known ? stands(outcome, verdict.kin, verdict.other) : 0;
    }
    bool less = bench_less_is_better(outcome->test);
    verdict.met =
        verdict.known && (less ? verdict.reached <= target->wanted : verdict.reached >= target->wanted);
    return verdict;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *figure_text(char *text, size_t size, double figure, enum bench_unit unit)
{
    static const char *const units[] = {"", " us", " s", " B"};
    if (unit == BENCH_PER_SECOND && figure >= 999.5e6)
        snprintf(text, size, "%.3g G", figure / 1e9);
    else if (unit == BENCH_PER_SECOND && figure >= 999.5e3)
        snprintf(text, size, "%.3g M", figure / 1e6);
    else if (unit == BENCH_PER_SECOND && figure >= 9995)
        snprintf(text, size, "%.3g k", figure / 1e3);
    else if (figure >= 999.5)
        snprintf(text, size, "%.0f%s", figure, units[unit]);
    else
        snprintf(text, size, "%.3g%s", figure, units[unit]);
    return text;
}

static const char *ratio_text(char *text, size_t size, double ratio)
{
    if (ratio == 0)
        snprintf(text, size, "-");
    else
        snprintf(text, size, "%.3g", ratio);
    return text;
}

static void print_result(FILE *out, const struct bench_outcome *outcome, const struct bench_result *result)
{
    const struct bench_contender *contender = result->contender;
    fprintf(out, "  %-5s  %-40s", role_names[contender->role], contender->name);
    if (result->status == BENCH_IS_MISSING) {
        fprintf(out, " missing: %s\n", contender->from ? contender->from : "not built");
        return;
    }
    if (result->status != BENCH_OK) {
        fprintf(out, " %s: %s\n", status_names[result->status], result->reason);
        return;
    }
    char middle[32], lowest[32], highest[32], to_limit[32], to_kin[32];
    enum bench_unit unit = outcome->test->unit;
    const struct bench_result *limit = first_of(outcome, BENCH_LIMIT), *kin = first_of(outcome, BENCH_KIN);
    fprintf(out, " %10s %10s %10s %9s %9s\n", figure_text(middle, sizeof middle, result->median, unit),
            figure_text(lowest, sizeof lowest, result->lowest, unit),
            figure_text(highest, sizeof highest, result->highest, unit),
            ratio_text(to_limit, sizeof to_limit, limit ? result->median / limit->median : 0),
            ratio_text(to_kin, sizeof to_kin, kin ? stands(outcome, kin, result) : 0));
}

static void print_target(FILE *out, const struct bench_outcome *outcome, const struct bench_target *target)
{
    char figure[32], reached[32];
    struct verdict verdict = judge(outcome, target);
    enum bench_unit unit = outcome->test->unit;
    fprintf(out, "  target kin %s ", bench_less_is_better(outcome->test) ? "<=" : ">=");
    if (target->against)
        fprintf(out, "%.2f x %s", target->wanted, target->against);
    else
        fprintf(out, "%s", figure_text(figure, sizeof figure, target->wanted, unit));
    if (!verdict.known)
        fprintf(out, ": not known, %s was not measured\n", verdict.kin ? "that" : "kin");
    else if (target->against)
        fprintf(out, ": %.2f, %s\n", verdict.reached, verdict.met ? "met" : "not met");
    else
        fprintf(out, ": %s, %s\n", figure_text(reached, sizeof reached, verdict.reached, unit),
                verdict.met ? "met" : "not met");
}

void bench_print(FILE *out, const char *title, const struct bench_outcome *outcome)
{
    const struct bench_case *test = outcome->test;
    static const char *const units[] = {"per second, more is better", "microseconds each, less is better",
                                        "seconds in all, less is better", "bytes each, less is better"};
    int runs = 0;
    for (int i = 0; i < outcome->count; i++)
        runs = outcome->results[i].runs > runs ? outcome->results[i].runs : runs;
    fprintf(out, "\n%s: %s (%s %s; %d runs)\n", title, test->name, test->what, units[test->unit], runs);
    fprintf(out, "  %-5s  %-40s %10s %10s %10s %9s %9s\n", "", "", "median", "lowest", "highest", "x limit",
            "kin is x");
    for (int i = 0; i < outcome->count; i++) print_result(out, outcome, &outcome->results[i]);
    for (const struct bench_target *target = test->targets; target && target->wanted != 0; target++)
        print_target(out, outcome, target);
    fflush(out);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void json_member(FILE *out, const char *before, const char *name, const char *value)
{
    fprintf(out, "%s\"%s\": ", before, name);
    json_string(out, value);
}

void bench_json_begin(FILE *out, const char *title, bool quick)
{
    struct utsname system;
    uname(&system);
    json_member(out, "{", "benchmark", title);
    json_member(out, ", ", "kernel", system.release);
    json_member(out, ", ", "machine", system.machine);
    json_member(out, ", ", "compiler", __VERSION__);
    fprintf(out, ", \"processors\": %ld, \"quick\": %s, \"cases\": [\n", sysconf(_SC_NPROCESSORS_ONLN),
            quick ? "true" : "false");
}

static void json_numbers(FILE *out, const double *numbers, int count)
{
    for (int i = 0; i < count; i++) fprintf(out, "%s%.9g", i ? ", " : "", numbers[i]);
}

static void json_result(FILE *out, const struct bench_result *result)
{
    json_member(out, "   {", "name", result->contender->name);
    json_member(out, ", ", "role", role_names[result->contender->role]);
    json_member(out, ", ", "status", status_names[result->status]);
    if (result->status == BENCH_IS_MISSING && result->contender->from)
        json_member(out, ", ", "from", result->contender->from);
    if (result->status == BENCH_FAILED) json_member(out, ", ", "reason", result->reason);
    if (result->status == BENCH_OK) {
        fprintf(out, ", \"count\": %ld, \"median\": %.9g, \"runs\": [", result->count, result->median);
        json_numbers(out, result->figures, result->runs);
        if (result->ratio > 0) {
            fputs("], \"ratios_in_turns\": [", out);
            json_numbers(out, result->ratios, result->runs);
        }
        fputc(']', out);
    }
    fputc('}', out);
}

static void json_target(FILE *out, const struct bench_outcome *outcome, const struct bench_target *target)
{
    struct verdict verdict = judge(outcome, target);
    fprintf(out, "   {\"wanted\": %.9g", target->wanted);
    if (target->against) json_member(out, ", ", "against", target->against);
    if (verdict.other) json_member(out, ", ", "compared_with", verdict.other->contender->name);
    if (verdict.known)
        fprintf(out, ", \"reached\": %.9g, \"met\": %s", verdict.reached, verdict.met ? "true" : "false");
    fputc('}', out);
}

void bench_json_case(FILE *out, const struct bench_outcome *outcome, bool first)
{
    static const char *const units[] = {"per second", "microseconds", "seconds", "bytes"};
    const struct bench_case *test = outcome->test;
    json_member(out, first ? " {" : ",\n {", "name", test->name);
    json_member(out, ", ", "counted", test->what);
    json_member(out, ", ", "unit", units[test->unit]);
    fprintf(out, ", \"less_is_better\": %s,\n  \"results\": [\n",
            bench_less_is_better(test) ? "true" : "false");
    for (int i = 0; i < outcome->count; i++) {
        fputs(i ? ",\n" : "", out);
        json_result(out, &outcome->results[i]);
    }
    fputs("],\n  \"targets\": [\n", out);
    for (const struct bench_target *target = test->targets; target && target->wanted != 0; target++) {
        fputs(target != test->targets ? ",\n" : "", out);
        json_target(out, outcome, target);
    }
    fputs("]}", out);
}

void bench_json_end(FILE *out)
{
    fputs("\n]}\n", out);
}
