/* top.c: `kin top`: what goes on in all families of the user. */
#define _GNU_SOURCE
#include "top.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/time.h>

#include "option_values.h"
#include "say.h"

static const char help[] =
    "Usage: kin top [OPTION]... [FAMILY]\n"
    "\n"
    "Shows the programs of this user that use kin, and what goes on in each: processes, pools and what\n"
    "their workers do, queues and how fast they go, locks, who has them and who waits. FAMILY is the name\n"
    "of a family, or the pid of one of its processes. Looking disturbs nobody. On a terminal the page is\n"
    "written anew until q is pressed; otherwise it is written once.\n"
    "\n"
    "  -d, --delay TIME       how often to look (2s); written once: the time in which rates are measured\n"
    "                         (200ms)\n"
    "  -a, --all              also locks that nobody has, and the queues of pools\n"
    "      --once             write the page once, also on a terminal\n"
    "      --json             write one JSON object\n"
    "      --openmetrics      write all figures in the format of OpenMetrics\n"
    "  -h, --help             print this\n";

enum form { FORM_PAGE, FORM_ONCE, FORM_JSON, FORM_METRICS };

struct given {
    struct screen_options screen;
    enum form form;
};

static int refuse(const char *what, const char *word)
{
    say("%s: %s; see kin top --help", what, word);
    return EXIT_OTHER;
}

/* -1: go on; otherwise the exit code. */
static int read_options(int count, char **words, struct given *given)
{
    static const struct option names[] = {
        {"delay", required_argument, NULL, 'd'},
        {"all", no_argument, NULL, 'a'},
        {"once", no_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},
        {"openmetrics", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    optind = 0;
    opterr = 0;
    for (int option; (option = getopt_long(count, words, ":d:ah", names, NULL)) >= 0;) {
        enum form form = option == 'o' ? FORM_ONCE : option == 'j' ? FORM_JSON : FORM_METRICS;
        switch (option) {
        case 'd':
            if (!parse_duration(optarg, &given->screen.interval_ns) || given->screen.interval_ns <= 0)
                return refuse("not a time", optarg);
            break;
        case 'a': given->screen.style.all = true; break;
        case 'o':
        case 'j':
        case 'm':
            if (given->form != FORM_PAGE && given->form != form)
                return refuse("only one of --once, --json and --openmetrics", words[optind - 1]);
            given->form = form;
            break;
        case 'h': return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? EXIT_OTHER : 0;
        default:
            return refuse(option == ':' ? "an option lacks its argument" : "unknown option",
                          words[optind - 1]);
        }
    }
    return -1;
}

/* A number is a pid, though a family might have such a name. */
static void read_family(const char *word, kin_inspect_options *families)
{
    long pid;
    if (parse_count(word, 1 << 30, &pid) && pid > 0)
        families->pid = (int)pid;
    else
        families->name = word;
}

/* ---- once ---------------------------------------------------------------------------------------------- */

static int print_output(const struct output *out)
{
    static char block[1 << 16];
    uint64_t offset = 0;
    long size = 0;
    while ((size = output_copy(out, offset, block, sizeof block)) > 0) {
        if (fwrite(block, 1, (size_t)size, stdout) != (size_t)size) return -errno;
        offset += (uint64_t)size;
    }
    return (int)size;
}

static int print(const struct looks *looks, const struct given *given)
{
    struct buffer text = {0};
    struct output out = {0};
    int rc = 0;
    if (given->form == FORM_JSON) {
        rc = top_json(&out, looks);
        if (rc == 0) rc = print_output(&out);
        output_free(&out);
    } else if (given->form == FORM_METRICS) {
        top_metrics(&text, looks);
    } else {
        text_add(&text, looks, &given->screen.style);
    }
    if (text.size > 0 && fwrite(text.bytes, 1, text.size, stdout) != text.size) rc = -errno;
    if (rc == 0 && fflush(stdout) != 0) rc = -errno;
    buffer_free(&text);
    if (rc < 0) say("cannot write to standard output: %s", error_words(-rc));
    return rc < 0 ? EXIT_OTHER : 0;
}

static void pause_for(int64_t nanoseconds)
{
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    nanosleep(&time, NULL);
}

static int once(struct looks *looks, const struct given *given)
{
    int rc = look_again(looks, &given->screen.families);
    if (rc == 0 && given->form != FORM_METRICS) {
        pause_for(given->screen.interval_ns != 0 ? given->screen.interval_ns : 200 * 1000000LL);
        rc = look_again(looks, &given->screen.families);
    }
    kin_inspected_family family;
    bool named = given->screen.families.name != NULL || given->screen.families.pid != 0;
    if (rc == 0 && named && kin_inspection_family(looks->now, 0, &family) < 0) {
        say("no such family");
        return EXIT_OTHER;
    }
    if (rc == 0) return print(looks, given);
    say("cannot look at the families: %s", kin_strerror(rc));
    return EXIT_OTHER;
}

int top_main(int count, char **words)
{
    struct given given = {0};
    struct looks looks = {0};
    say_as("kin top");
    int code = read_options(count, words, &given);
    if (code >= 0) return code;
    if (count - optind > 1) return refuse("more than one family", words[optind + 1]);
    if (count - optind == 1) read_family(words[optind], &given.screen.families);
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool page = isatty(STDOUT_FILENO) == 1;
    given.screen.style.colours =
        page && (plain == NULL || plain[0] == '\0') && (terminal == NULL || strcmp(terminal, "dumb") != 0);
    if (given.form == FORM_PAGE && page) {
        if (given.screen.interval_ns == 0) given.screen.interval_ns = 2 * 1000000000LL;
        code = top_screen(&looks, &given.screen);
    } else {
        code = once(&looks, &given);
    }
    looks_free(&looks);
    return code;
}
