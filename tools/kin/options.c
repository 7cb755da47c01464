/* options.c: the command line of `kin map`.
 *
 * One table holds every option with its help; what getopt needs and what --help prints are
 * made from it. */
#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/process.h>

#include "buffer.h"
#include "option_values.h"
#include "say.h"

#define SECOND ((int64_t)1000000000)

/* Values of options that have no letter, and of those whose letter is another name's. */
enum {
    OPTION_LINK = 256,
    OPTION_RETRIES,
    OPTION_TIMEOUT,
    OPTION_GRACE,
    OPTION_HALT,
    OPTION_SHELL,
    OPTION_DIRECTORY,
    OPTION_DRY_RUN,
    OPTION_GROUP,
    OPTION_TAG,
    OPTION_TAG_STRING,
    OPTION_JSON,
    OPTION_JOB_LOG,
    OPTION_PROGRESS,
    OPTION_NO_PROGRESS
};

struct option_row {
    int value;            /* the letter, or one of the above */
    const char *name;     /* NULL: a heading */
    const char *argument; /* NULL: takes none */
    const char *help;     /* NULL: another name of the row above */
};

static const struct option_row table[] = {
    {0, NULL, NULL, "Where inputs come from (standard input, if none of these is given):"},
    {'a', "arg-file", "FILE", "read inputs from FILE; - is standard input"},
    {'0', "null", NULL, "inputs end with a NUL instead of a newline"},
    {'d', "delimiter", "D", "inputs end with the character D; \\t, \\0, \\x1f are understood"},
    {'n', "max-args", "N", "give each job N inputs"},
    {'N', "max-replace-args", "N", NULL},
    {'r', "no-run-if-empty", NULL, "leave out inputs that are empty or blank"},
    {OPTION_LINK, "link", NULL, "several sources go in step instead of being combined"},

    {0, NULL, NULL, "How jobs run:"},
    {'j', "jobs", "N", "so many at a time; also +N, -N, N%, and 0 for very many [processors]"},
    {'P', "max-procs", "N", NULL},
    {OPTION_RETRIES, "retries", "N", "run a job that failed up to N times more"},
    {OPTION_TIMEOUT, "timeout", "TIME", "end a job that runs longer: 2.5, 500ms, 10s, 5m, 1h"},
    {OPTION_GRACE, "grace", "TIME", "from SIGTERM to SIGKILL when a job is ended [2s]"},
    {OPTION_HALT, "halt", "WHEN", "end early: never, or soon or now with ,fail=N ,success=N ,done=N or N%"},
    {OPTION_SHELL, "shell", NULL, "run the command by /bin/sh, with the inputs quoted"},
    {'I', "replace", "STRING", "STRING stands for the input, instead of {}"},
    {OPTION_DIRECTORY, "workdir", "DIR", "run the jobs in DIR"},
    {OPTION_DIRECTORY, "wd", "DIR", NULL},
    {OPTION_DRY_RUN, "dry-run", NULL, "print what would be run"},

    {0, NULL, NULL, "What is printed:"},
    {'k', "keep-order", NULL, "print outputs in the order of the inputs, not as they come"},
    {'u', "ungroup", NULL, "do not collect outputs: jobs write by themselves"},
    {OPTION_GROUP, "group", NULL, "collect the output of each job and print it whole; the default"},
    {OPTION_TAG, "tag", NULL, "begin each line with the input and a tab"},
    {OPTION_TAG_STRING, "tagstring", "TEXT", "begin each line with TEXT, in which {} works, and a tab"},
    {OPTION_JSON, "json", NULL, "print one line of JSON for each job"},
    {OPTION_JOB_LOG, "joblog", "FILE", "write a table of all jobs into FILE"},
    {'t', "verbose", NULL, "print each command on standard error before it starts"},
    {OPTION_PROGRESS, "progress", NULL, "show progress though standard error is no terminal"},
    {OPTION_PROGRESS, "bar", NULL, NULL},
    {OPTION_PROGRESS, "eta", NULL, NULL},
    {OPTION_NO_PROGRESS, "no-progress", NULL, "never show progress"},

    {0, NULL, NULL, "Help:"},
    {'h', "help", NULL, "print this"},
    {'V', "version", NULL, "print the version"},
};

#define ROWS (sizeof table / sizeof table[0])

static void print_help(void)
{
    fputs("Usage: kin map [options] [--] command [words] [::: inputs | :::: files]...\n"
          "       kin map [options] [--] ./library.so:function ...\n"
          "\n"
          "Runs a command, or a function of a shared object, for every input, on all processors.\n"
          "{} in a word of the command is the input; without one the input is the last word.\n"
          "{.} without extension, {/} base name, {//} directory, {/.} base name without extension,\n"
          "{1} {2} ... the first, second ... of several, {#} number of the job, {%} its slot.\n",
          stdout);
    for (size_t i = 0; i < ROWS; i++) {
        const struct option_row *row = &table[i];
        if (row->name == NULL) {
            printf("\n%s\n", row->help);
            continue;
        }
        if (row->help == NULL) continue;
        char left[64];
        int width = row->value < 256 ? snprintf(left, sizeof left, "  -%c, --%s", row->value, row->name)
                                     : snprintf(left, sizeof left, "      --%s", row->name);
        if (row->argument != NULL) snprintf(left + width, sizeof left - (size_t)width, " %s", row->argument);
        printf("%-30s %s\n", left, row->help);
    }
    fputs("\nExit code: 0 when all jobs succeeded, 1 to 100: so many failed, 101: more did, 255: other\n"
          "errors, 130: interrupted.  See kin-map(1).\n",
          stdout);
}

static bool is_separator(const char *word)
{
    return strcmp(word, ":::") == 0 || strcmp(word, "::::") == 0 || strcmp(word, ":::+") == 0 ||
           strcmp(word, "::::+") == 0;
}

static void add_source(struct options *options, struct source_option source)
{
    options->sources =
        memory_resize(options->sources, (options->source_count + 1) * sizeof *options->sources);
    options->sources[options->source_count++] = source;
}

static bool refuse(const char *option, const char *value, const char *expected)
{
    say("%s: \"%s\" is not %s; see kin map --help", option, value, expected);
    return false;
}

static bool take_number(struct options *options, int value, const char *text)
{
    long count;
    switch (value) {
    case 'j':
    case 'P': return parse_jobs(text, &options->jobs) || refuse("--jobs", text, "a number of jobs");
    case 'n':
    case 'N':
        if (!parse_count(text, 1000000, &count) || count == 0)
            return refuse("--max-args", text, "a number from 1 on");
        options->max_arguments = (size_t)count;
        return true;
    case OPTION_RETRIES:
        return parse_count(text, 1000000000, &options->retries) || refuse("--retries", text, "a number");
    case OPTION_TIMEOUT:
        return parse_duration(text, &options->timeout) || refuse("--timeout", text, "a time such as 10s");
    case OPTION_GRACE:
        return parse_duration(text, &options->grace) || refuse("--grace", text, "a time such as 10s");
    case OPTION_HALT:
        return parse_halt(text, &options->halt) || refuse("--halt", text, "a condition such as soon,fail=1");
    default:
        return parse_delimiter(text, &options->delimiter) || refuse("--delimiter", text, "one character");
    }
}

static bool take(struct options *options, int value, char *text)
{
    switch (value) {
    case 'a': add_source(options, (struct source_option){.file = text}); return true;
    case '0': options->delimiter = '\0'; return true;
    case 'r': options->skip_blank = true; return true;
    case OPTION_LINK: options->link = true; return true;
    case OPTION_SHELL: options->shell = true; return true;
    case 'I':
        if (*text == '\0') return refuse("--replace", text, "a text that can stand in a word");
        options->replace = text;
        return true;
    case OPTION_DIRECTORY: options->directory = text; return true;
    case OPTION_DRY_RUN: options->dry_run = true; return true;
    case 'k': options->keep_order = true; return true;
    case 'u': options->ungroup = true; return true;
    case OPTION_GROUP: options->ungroup = false; return true;
    case OPTION_TAG: options->tag = true; return true;
    case OPTION_TAG_STRING:
        options->tag = true;
        options->tag_pattern = text;
        return true;
    case OPTION_JSON: options->json = true; return true;
    case OPTION_JOB_LOG: options->job_log = text; return true;
    case 't': options->verbose = true; return true;
    case OPTION_PROGRESS: options->progress = PROGRESS_ON; return true;
    case OPTION_NO_PROGRESS: options->progress = PROGRESS_OFF; return true;
    default: return take_number(options, value, text);
    }
}

/* Makes what getopt_long wants; `letters` begins with "+:" so that options end where the
 * command begins, and getopt says nothing itself. */
static void make_getopt(struct option *names, char *letters)
{
    strcpy(letters, "+:");
    char *letter = letters + 2;
    size_t count = 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (table[i].name == NULL) continue;
        bool argument = table[i].argument != NULL;
        names[count++] =
            (struct option){table[i].name, argument ? required_argument : no_argument, NULL, table[i].value};
        if (table[i].value > 255) continue;
        *letter++ = (char)table[i].value;
        if (argument) *letter++ = ':';
    }
    *letter = '\0';
    names[count] = (struct option){0};
}

static void complain(int problem, char **words)
{
    /* optopt is 0 for an unknown long name; a known one without its value has its value there. */
    const char *word = words[optind - 1];
    if (problem == ':') {
        if (word[0] == '-' && word[1] == '-') {
            say("option %s needs a value; see kin map --help", word);
        } else {
            say("option -%c needs a value; see kin map --help", optopt);
        }
    } else if (optopt != 0 && word[0] == '-' && word[1] == '-') {
        say("option %s takes no value; see kin map --help", word);
    } else if (optopt != 0) {
        say("unknown option -%c; see kin map --help", optopt);
    } else {
        say("unknown option %s; see kin map --help", word);
    }
}

/* Splits what follows the options into the command and the sources behind it. */
static bool take_command(struct options *options, int count, char **words)
{
    int i = 0;
    while (i < count && !is_separator(words[i])) i++;
    options->command = words;
    options->command_count = (size_t)i;
    while (i < count) {
        const char *separator = words[i++];
        int first = i;
        while (i < count && !is_separator(words[i])) i++;
        bool linked = separator[strlen(separator) - 1] == '+';
        if (separator[3] != ':') {
            add_source(options, (struct source_option){words + first, (size_t)(i - first), NULL, linked});
            continue;
        }
        if (first == i) {
            say("%s needs the name of a file; see kin map --help", separator);
            return false;
        }
        for (int k = first; k < i; k++)
            add_source(options, (struct source_option){.file = words[k], .linked = linked});
    }
    for (size_t k = 0; k < options->source_count; k++) options->sources[k].linked |= options->link;
    if (options->source_count == 0) add_source(options, (struct source_option){.file = "-"});
    return true;
}

static bool check_together(const struct options *options)
{
    if (options->max_arguments > 1 && options->source_count > 1) {
        say("--max-args works with one source of inputs, and there are %zu", options->source_count);
        return false;
    }
    if (options->ungroup && (options->tag || options->json || options->keep_order)) {
        say("--ungroup cannot be combined with %s", options->tag    ? "--tag"
                                                    : options->json ? "--json"
                                                                    : "--keep-order");
        return false;
    }
    if (options->json && options->tag) {
        say("--json cannot be combined with --tag");
        return false;
    }
    size_t standard_input = 0;
    for (size_t i = 0; i < options->source_count; i++)
        if (options->sources[i].file != NULL && strcmp(options->sources[i].file, "-") == 0) standard_input++;
    if (standard_input > 1) {
        say("standard input can be only one of the sources");
        return false;
    }
    return true;
}

bool options_parse(struct options *options, int count, char **words, int *code)
{
    *options = (struct options){
        .jobs = (unsigned)kin_cpu_count(), .delimiter = '\n', .retries = -1, .grace = 2 * SECOND};
    struct option names[ROWS + 1];
    char letters[2 * ROWS + 3];
    make_getopt(names, letters);
    *code = EXIT_OTHER;
    opterr = 0;
    for (int value; (value = getopt_long(count, words, letters, names, NULL)) != -1;) {
        if (value == '?' || value == ':') {
            complain(value, words);
            return false;
        }
        if (value == 'h' || value == 'V') {
            if (value == 'h')
                print_help();
            else
                printf("kin %s\n", kin_version());
            *code = fflush(stdout) == 0 ? 0 : EXIT_OTHER;
            return false;
        }
        if (!take(options, value, optarg)) return false;
    }
    return take_command(options, count - optind, words + optind) && check_together(options);
}

void options_free(struct options *options)
{
    free(options->sources);
    options->sources = NULL;
}
