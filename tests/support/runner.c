/* runner.c: kin-test: which cases there are, and running them N at a time.
 *
 * The runner has no other children than supervisors, and leaves no file behind but the JSON
 * file it was asked for.
 */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage_text[] = "usage: kin-test [-j N] [--filter PATTERN] [--repeat N] [--json FILE] "
                                 "[--scale F] [--verbose] PROGRAM...\n";

static void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("kin-test: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

/* ---- options ------------------------------------------------------------------------------ */

static unsigned usable_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static unsigned count_from(const char *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text || value < 1 || value > 100000 || text[0] == '-') {
        give_up("%s: \"%s\" is no number from 1 to 100000", option, text);
    }
    return (unsigned)value;
}

static const char *value_of(int count, char **words, int *at)
{
    if (*at + 1 >= count) give_up("%s needs a value", words[*at]);
    return words[++*at];
}

static void set_scale(const char *text)
{
    char *end;
    double scale = strtod(text, &end);
    if (*end || end == text || !(scale > 0)) give_up("--scale: \"%s\" is no positive number", text);
    setenv("KIN_TEST_SCALE", text, 1);
}

/* Moves the programs to the front of `words` and returns how many there are. */
static int parse_options(struct runner_options *options, int count, char **words)
{
    int programs = 0;
    for (int at = 1; at < count; at++) {
        const char *word = words[at];
        if (word[0] != '-') {
            words[programs++] = words[at];
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            fputs(usage_text, stdout);
            exit(0);
        } else if (strcmp(word, "--verbose") == 0) {
            options->verbose = true;
        } else if (strncmp(word, "-j", 2) == 0) {
            options->jobs = count_from("-j", word[2] ? word + 2 : value_of(count, words, &at));
        } else if (strcmp(word, "--filter") == 0) {
            options->filter = value_of(count, words, &at);
        } else if (strcmp(word, "--repeat") == 0) {
            options->repeat = count_from(word, value_of(count, words, &at));
        } else if (strcmp(word, "--json") == 0) {
            options->json = value_of(count, words, &at);
        } else if (strcmp(word, "--scale") == 0) {
            set_scale(value_of(count, words, &at));
        } else {
            give_up("there is no option %s\n%s", word, usage_text);
        }
    }
    if (programs == 0) give_up("no program given\n%s", usage_text);
    return programs;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static bool is_chosen(const char *filter, const char *name)
{
    if (!filter) return true;
    return strpbrk(filter, "*?[") ? fnmatch(filter, name, 0) == 0 : strstr(name, filter) != NULL;
}

static struct run *add_run(struct plan *plan)
{
    if (plan->count == plan->room) {
        size_t room = plan->room ? 2 * plan->room : 256;
        struct run *runs =
            mmap(NULL, room * sizeof(*runs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (runs == MAP_FAILED) give_up("cannot map memory for %zu cases: %s", room, strerror(errno));
        if (plan->runs) {
            memcpy(runs, plan->runs, plan->count * sizeof(*runs));
            munmap(plan->runs, plan->room * sizeof(*runs));
        }
        plan->runs = runs;
        plan->room = room;
    }
    return &plan->runs[plan->count++];
}

/* A line of a program's list: "name deadline=60 cold alone". */
static void plan_case(struct plan *plan, const struct runner_options *options, const char *program,
                      char *line)
{
    struct run run = {.deadline = 60, .output = -1};
    const char *slash = strrchr(program, '/');
    char *rest = NULL;
    const char *case_name = strtok_r(line, " \n", &rest);
    if (!case_name) return;
    for (const char *word; (word = strtok_r(NULL, " \n", &rest));) {
        if (strcmp(word, "alone") == 0) run.alone = true;
        if (strncmp(word, "deadline=", 9) == 0) run.deadline = strtod(word + 9, NULL);
    }
    run.program = program;
    int length = snprintf(run.name, sizeof run.name, "%s/%s", slash ? slash + 1 : program, case_name);
    if (length >= (int)sizeof run.name) give_up("the name %s is too long", case_name);
    if (is_chosen(options->filter, run.name)) *add_run(plan) = run;
}

/* Starts `program --list` and returns a stream of what it writes. */
static FILE *open_list(const char *program, pid_t *child)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) give_up("cannot make a pipe: %s", strerror(errno));
    *child = fork();
    if (*child < 0) give_up("cannot fork: %s", strerror(errno));
    if (*child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        alarm(60);
        execl(program, program, "--list", (char *)NULL);
        fprintf(stderr, "kin-test: cannot run %s: %s\n", program, strerror(errno));
        _exit(2);
    }
    close(ends[1]);
    return fdopen(ends[0], "r");
}

static void plan_program(struct plan *plan, const struct runner_options *options, const char *word)
{
    char *program = realpath(word, NULL); /* for as long as the plan */
    if (!program) give_up("cannot find %s: %s", word, strerror(errno));
    pid_t child;
    FILE *list = open_list(program, &child);
    char line[512];
    while (fgets(line, sizeof line, list)) plan_case(plan, options, program, line);
    fclose(list);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) give_up("%s --list failed", word);
}

static void repeat_plan(struct plan *plan, unsigned times)
{
    size_t once = plan->count;
    for (unsigned round = 1; round < times; round++) {
        for (size_t i = 0; i < once; i++) {
            struct run copy = plan->runs[i];
            *add_run(plan) = copy;
        }
    }
    for (size_t i = 0; i < plan->count; i++) plan->runs[i].case_name = strchr(plan->runs[i].name, '/') + 1;
}

/* ---- running ------------------------------------------------------------------------------------ */

struct stage {
    char directory[PATH_MAX]; /* where the cases' directories are */
    int lifeline[2];
    size_t running;
    bool alone; /* what is running must be alone */
};

static void open_stage(struct stage *stage)
{
    const char *parent = getenv("TMPDIR");
    int length =
        snprintf(stage->directory, sizeof stage->directory, "%s/kin-test-XXXXXX", parent ? parent : "/tmp");
    if (length >= (int)sizeof stage->directory || !mkdtemp(stage->directory)) {
        give_up("cannot make a directory %s: %s", stage->directory, strerror(errno));
    }
    if (pipe2(stage->lifeline, O_CLOEXEC) < 0) give_up("cannot make a pipe: %s", strerror(errno));
}

static void start_run(struct stage *stage, struct run *run, size_t index)
{
    char directory[PATH_MAX + 32];
    snprintf(directory, sizeof directory, "%s/%zu", stage->directory, index + 1);
    run->output = memfd_create("test-output", MFD_CLOEXEC);
    if (run->output < 0) give_up("cannot make a memory file: %s", strerror(errno));
    fcntl(run->output, F_SETFL, O_APPEND);
    fflush(stdout);
    pid_t supervisor = fork();
    if (supervisor < 0) give_up("cannot fork: %s", strerror(errno));
    if (supervisor == 0) {
        close(stage->lifeline[1]);
        supervise(run, directory, stage->lifeline[0]);
        _exit(0);
    }
    run->supervisor = supervisor; /* not by the child: the entry is shared */
    stage->running++;
    stage->alone = run->alone;
}

static void finish_one(struct stage *stage, struct plan *plan)
{
    int status;
    pid_t ended = waitpid(-1, &status, 0);
    if (ended < 0) give_up("cannot wait for a supervisor: %s", strerror(errno));
    for (size_t i = 0; i < plan->count; i++) {
        struct run *run = &plan->runs[i];
        if (run->supervisor != ended) continue;
        if (run->verdict == VERDICT_NONE) {
            run->verdict = VERDICT_FAILED;
            snprintf(run->reason, sizeof run->reason, "the supervisor of the case ended with status %#x",
                     (unsigned)status);
        }
        run->supervisor = 0;
        stage->running--;
        stage->alone = false;
    }
}

static void run_plan(struct plan *plan, const struct runner_options *options)
{
    struct stage stage = {.running = 0};
    open_stage(&stage);
    size_t next = 0, reported = 0;
    while (reported < plan->count) {
        while (next < plan->count && stage.running < options->jobs && !stage.alone &&
               !(plan->runs[next].alone && stage.running > 0)) {
            start_run(&stage, &plan->runs[next], next);
            next++;
        }
        finish_one(&stage, plan);
        /* In the order of the plan, whatever the order in which they end. */
        while (reported < next && plan->runs[reported].verdict != VERDICT_NONE &&
               !plan->runs[reported].supervisor) {
            report_run(plan, reported++, options->verbose);
        }
    }
    close(stage.lifeline[0]);
    close(stage.lifeline[1]);
    rmdir(stage.directory);
}

int main(int count, char **words)
{
    struct runner_options options = {.jobs = usable_processors(), .repeat = 1};
    int programs = parse_options(&options, count, words);
    struct plan plan = {NULL, 0, 0};
    for (int i = 0; i < programs; i++) plan_program(&plan, &options, words[i]);
    repeat_plan(&plan, options.repeat);
    report_start(&plan);
    run_plan(&plan, &options);
    return report_end(&plan, options.json);
}
