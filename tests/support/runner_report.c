/* runner_report.c: what kin-test prints (TAP) and writes (JSON). */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outcome.h"

#define OUTPUT_MOST ((size_t)1 << 20)

char *run_output(const struct run *run)
{
    struct stat status;
    if (run->output < 0 || fstat(run->output, &status) < 0) return NULL;
    size_t size = (size_t)status.st_size, skipped = size > OUTPUT_MOST ? size - OUTPUT_MOST : 0;
    char *text = malloc(size - skipped + 1);
    if (!text) return NULL;
    ssize_t length = pread(run->output, text, size - skipped, (off_t)skipped);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

const char *marked_line(const char **from, const char *mark, char *line, size_t size)
{
    size_t mark_length = strlen(mark);
    for (const char *at = *from; *at;) {
        size_t length = strcspn(at, "\n");
        const char *next = at + length + (at[length] == '\n');
        if (strncmp(at, mark, mark_length) == 0) {
            snprintf(line, size, "%.*s", (int)(length - mark_length), at + mark_length);
            *from = next;
            return line;
        }
        at = next;
    }
    return NULL;
}

/* ---- TAP ------------------------------------------------------------------------------------ */

static bool colours_wanted(void)
{
    const char *terminal = getenv("TERM"), *none = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(none && *none) && terminal && strcmp(terminal, "dumb") != 0;
}

static const char *paint(const char *sequence)
{
    return colours_wanted() ? sequence : "";
}

void report_start(const struct plan *plan)
{
    printf("TAP version 13\n1..%zu\n", plan->count);
}

static void print_lines(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("#   %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_notes(const char *text)
{
    char line[1024];
    while (marked_line(&text, OUTCOME_NOTE_MARK, line, sizeof line)) printf("# %s\n", line);
}

void report_run(const struct plan *plan, size_t index, bool verbose)
{
    const struct run *run = &plan->runs[index];
    bool failed = run->verdict == VERDICT_FAILED;
    printf("%s%s%s %zu - %s", paint(failed ? "\033[31m" : "\033[32m"), failed ? "not ok" : "ok",
           paint("\033[0m"), index + 1, run->name);
    if (run->verdict == VERDICT_SKIPPED) {
        printf(" # SKIP %s\n", run->reason);
    } else {
        printf(" # %.3f s\n", run->seconds);
    }
    if (failed) printf("# %s%s%s\n", paint("\033[1m"), run->reason, paint("\033[0m"));
    char *text = run_output(run);
    if (text && (failed || verbose)) {
        print_lines(text);
    } else if (text) {
        print_notes(text);
    }
    free(text);
    fflush(stdout);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

/* The length of the UTF-8 sequence at `text`, 0 when there is none. */
static size_t sequence_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xc2 ? 0
                    : text[0] < 0xe0 ? 2
                    : text[0] < 0xf0 ? 3
                    : text[0] < 0xf5 ? 4
                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool outside = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

static void write_string(FILE *file, const char *string)
{
    const unsigned char *text = (const unsigned char *)string;
    fputc('"', file);
    while (*text) {
        size_t length = sequence_length(text);
        if (length == 0) {
            fputs("\\ufffd", file);
            text++;
        } else if (*text == '"' || *text == '\\') {
            fprintf(file, "\\%c", *text++);
        } else if (*text == '\n') {
            fputs("\\n", file);
            text++;
        } else if (*text < 0x20 || *text == 0x7f) {
            fprintf(file, "\\u%04x", *text++);
        } else {
            fwrite(text, 1, length, file);
            text += length;
        }
    }
    fputc('"', file);
}

static const char *verdict_name(enum verdict verdict)
{
    return verdict == VERDICT_PASSED ? "passed" : verdict == VERDICT_SKIPPED ? "skipped" : "failed";
}

static void write_run(FILE *file, const struct run *run)
{
    char *text = run_output(run), line[1024];
    fputs("    {\"name\": ", file);
    write_string(file, run->name);
    fprintf(file, ", \"outcome\": \"%s\", \"seconds\": %.6f, \"reason\": ", verdict_name(run->verdict),
            run->seconds);
    write_string(file, run->reason);
    fputs(", \"notes\": [", file);
    const char *from = text ? text : "", *separator = "";
    while (marked_line(&from, OUTCOME_NOTE_MARK, line, sizeof line)) {
        fputs(separator, file);
        write_string(file, line);
        separator = ", ";
    }
    fputs("], \"output\": ", file);
    write_string(file, text ? text : "");
    fputc('}', file);
    free(text);
}

struct tally {
    size_t passed, failed, skipped;
};

static bool write_json(const struct plan *plan, const struct tally *tally, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file) return false;
    fprintf(file, "{\n  \"passed\": %zu, \"failed\": %zu, \"skipped\": %zu,\n  \"cases\": [\n", tally->passed,
            tally->failed, tally->skipped);
    for (size_t i = 0; i < plan->count; i++) {
        write_run(file, &plan->runs[i]);
        fputs(i + 1 < plan->count ? ",\n" : "\n", file);
    }
    fputs("  ]\n}\n", file);
    bool written = !ferror(file);
    return fclose(file) == 0 && written;
}

int report_end(const struct plan *plan, const char *json)
{
    struct tally tally = {0, 0, 0};
    for (size_t i = 0; i < plan->count; i++) {
        tally.passed += plan->runs[i].verdict == VERDICT_PASSED;
        tally.failed += plan->runs[i].verdict == VERDICT_FAILED;
        tally.skipped += plan->runs[i].verdict == VERDICT_SKIPPED;
    }
    bool written = !json || write_json(plan, &tally, json);
    if (!written) fprintf(stderr, "kin-test: cannot write %s: %s\n", json, strerror(errno));
    if (plan->count == 0) fprintf(stderr, "kin-test: no case was chosen\n");
    printf("%zu passed, %zu failed", tally.passed, tally.failed);
    if (tally.skipped > 0) printf(", %zu skipped", tally.skipped);
    printf("\n");
    return fflush(stdout) == 0 && written && tally.failed == 0 && plan->count > 0 ? 0 : 1;
}
