/* worker.c: `kin worker`: runs tasks for a pool in another program, by functions from shared objects.
 *
 * Each object registers its functions by KIN_TASK while it is loaded.
 */
#define _GNU_SOURCE
#include "worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>
#include <kin/log.h>
#include <kin/worker.h>

#include "key.h"
#include "option_values.h"
#include "say.h"

static const char help[] =
    "Usage: kin worker [OPTION]... ADDRESS LIBRARY...\n"
    "\n"
    "Runs tasks for the pool at ADDRESS (tcp://HOST:PORT, tls://HOST:PORT, unix:/PATH or unix:@NAME) until\n"
    "the pool is closed. Each LIBRARY is a shared object with functions that KIN_TASK has registered.\n"
    "SIGTERM and SIGINT end it after what it has begun.\n"
    "\n"
    "  -k, --key-file FILE    what the pool's program knows too: the bytes of FILE (- is standard input)\n"
    "                         without a newline at its end\n"
    "  -j, --jobs N           tasks at a time (as many as processors)\n"
    "      --patience TIME    how long to try to reach the pool: 500ms, 10s, 5m (10s)\n"
    "      --certificate FILE what is shown to a pool that demands it (tls)\n"
    "      --private-key FILE if it is not in the file of the certificate\n"
    "      --authorities FILE whose certificates are believed (tls)\n"
    "      --server-name NAME whom the pool's certificate has to name (the host of ADDRESS)\n"
    "  -q, --quiet            say nothing of connections that end\n"
    "  -h, --help             print this\n";

struct given {
    kin_worker_options options;
    kin_client_options client;
    const char *key_file;
    bool quiet;
    struct key key;
};

static int refuse(const char *what, const char *word)
{
    say("%s: %s; see kin worker --help", what, word);
    return EXIT_OTHER;
}

/* -1: go on; otherwise the exit code. */
static int read_options(int count, char **words, struct given *given)
{
    static const struct option names[] = {
        {"key-file", required_argument, NULL, 'k'},
        {"jobs", required_argument, NULL, 'j'},
        {"patience", required_argument, NULL, 'p'},
        {"certificate", required_argument, NULL, 'c'},
        {"private-key", required_argument, NULL, 'r'},
        {"authorities", required_argument, NULL, 'a'},
        {"server-name", required_argument, NULL, 's'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    optind = 0;
    opterr = 0;
    for (int option; (option = getopt_long(count, words, ":k:j:qh", names, NULL)) >= 0;) {
        char *end;
        switch (option) {
        case 'k': given->key_file = optarg; break;
        case 'j':
            errno = 0;
            given->options.workers = (unsigned)strtoul(optarg, &end, 10);
            if (errno != 0 || *end != '\0' || optarg[0] < '1' || optarg[0] > '9' ||
                given->options.workers > 1024)
                return refuse("not a number of jobs from 1 to 1024", optarg);
            break;
        case 'p':
            if (!parse_duration(optarg, &given->options.patience_ns) || given->options.patience_ns <= 0)
                return refuse("not a time", optarg);
            break;
        case 'c': given->client.certificate = optarg; break;
        case 'r': given->client.private_key = optarg; break;
        case 'a': given->client.authorities = optarg; break;
        case 's': given->client.server_name = optarg; break;
        case 'q': given->quiet = true; break;
        case 'h': return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? EXIT_OTHER : 0;
        default:
            return refuse(option == ':' ? "an option lacks its argument" : "unknown option",
                          words[optind - 1]);
        }
    }
    return -1;
}

/* A file is meant as one, though dlopen would look for a bare name elsewhere. */
static bool load(const char *file)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s", strchr(file, '/') != NULL ? "" : "./", file);
    if (length < (int)sizeof path && dlopen(path, RTLD_NOW) != NULL) return true;
    say("cannot load %s: %s", file, length < (int)sizeof path ? dlerror() : "its name is too long");
    return false;
}

/* ---- ending ---------------------------------------------------------------------------------------- */

static kin_event *stop;

static void on_signal(int signal)
{
    (void)signal;
    kin_event_set(stop);
}

static int catch_signals(void)
{
    int rc = kin_event_open(&stop, NULL);
    if (rc < 0) return rc;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return 0;
}

static void log_line(enum kin_log_level level, const char *line, void *unused)
{
    (void)level;
    (void)unused;
    say("%s", line);
}

static int work(struct given *given, const char *address)
{
    if (!given->quiet) kin_log_set(log_line, KIN_LOG_WARNING, NULL);
    int rc = catch_signals();
    given->options.stop = stop;
    given->options.client = &given->client;
    if (rc == 0) rc = kin_worker_serve(address, &given->options);
    kin_event_close(stop);
    if (rc == 0) return 0;
    const char *why = rc > -1000 ? error_words(-rc) : kin_strerror(rc);
    if (rc == KIN_EPROTOCOL) why = "there is none, or one of another version of kin";
    say("cannot work for the pool at %s: %s", address, why);
    return EXIT_OTHER;
}

int worker_main(int count, char **words)
{
    struct given given = {0};
    say_as("kin worker");
    int code = read_options(count, words, &given);
    if (code >= 0) return code;
    if (optind == count) return refuse("an argument is missing", "ADDRESS");
    if (optind + 1 == count) return refuse("an argument is missing", "LIBRARY");
    if (given.key_file != NULL) {
        if (!key_read(&given.key, given.key_file, !given.quiet)) return EXIT_OTHER;
        given.client.key = given.key.bytes;
        given.client.key_size = given.key.size;
    }
    for (int i = optind + 1; i < count; i++)
        if (!load(words[i])) return EXIT_OTHER;
    return work(&given, words[optind]);
}
