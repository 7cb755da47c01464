/* serve.c: `kin serve`: a manager of every type, until it is told to end.
 *
 * Its address is the first line of its output, so that a program which starts it learns the port.
 */
#define _GNU_SOURCE
#include "serve.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/connection.h>
#include <kin/error.h>
#include <kin/log.h>
#include <kin/manager.h>
#include <kin/process.h>

#include "key.h"
#include "option_values.h"
#include "permissions.h"
#include "say.h"

static const char help[] =
    "Usage: kin serve [OPTION]... ADDRESS [NAME=TYPE]...\n"
    "\n"
    "Serves shared objects to programs in C and Python until it is ended by SIGTERM or SIGINT, or by a\n"
    "client's shutdown. ADDRESS is tcp://HOST:PORT (port 0: any), tls://HOST:PORT, unix:/PATH or\n"
    "unix:@NAME; the real one is the first line of output. Clients may make objects of every type;\n"
    "everybody who asks for NAME gets one and the same object of TYPE, such as get_task_queue=Queue.\n"
    "\n"
    "  -k, --key-file FILE    what clients have to know: the bytes of FILE (- is standard input) without\n"
    "                         a newline at its end; required\n"
    "  -p, --permissions FILE further keys and what they may do, in lines of the forms\n"
    "                           key NAME KEY-FILE\n"
    "                           NAME PATTERN nothing|read|write\n"
    "                         (with tls:// only besides --certificate)\n"
    "      --max-clients N    connections at a time (10000)\n"
    "      --max-message N    bytes of a request (268435456)\n"
    "      --max-objects N    objects at a time (no limit)\n"
    "      --client-objects N, --client-requests N, --client-bytes N\n"
    "                         what a connection may have at a time, and ask for in a second (no limit)\n"
    "      --snapshot FILE    keep the objects there: read at the start, written at the end\n"
    "      --interval TIME    and so often in between: 500ms, 10s, 5m\n"
    "      --silence TIME     give a client up that is silent for so long, when it must not be (60s)\n"
    "      --grace TIME       a C client whose connection broke may come back, and finds what it held\n"
    "      --lease TIME       who holds something must ask for something so often, or loses it\n"
    "      --certificate FILE, --private-key FILE, --authorities FILE\n"
    "                         PEM files for tls://: ours, its key, and who signs those of clients\n"
    "  -q, --quiet            say nothing of clients that are refused\n"
    "  -h, --help             print this\n";

#define SECOND_NS INT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)

struct given {
    kin_manager_options options;
    const char *key_file;
    const char *permission_file;
    bool quiet;
    bool unheard; /* the address could not be written */
    int64_t silence_ns;
    struct key key;
    struct permissions permissions;
};

static int refuse(const char *what, const char *word)
{
    say("%s: %s; see kin serve --help", what, word);
    return EXIT_OTHER;
}

/* ---- the words of the command line -------------------------------------------------------------------- */

static bool read_count(const char *word, size_t *count)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    *count = (size_t)value;
    return errno == 0 && *word >= '0' && *word <= '9' && *end == '\0' && value > 0;
}

/* Where the number of an option goes, and what it is a number of. */
static size_t *counted(struct given *given, int option, const char **what)
{
    *what = option == 'm' || option == 'b' ? "not a number of bytes" : "not a number";
    switch (option) {
    case 'c': *what = "not a number of clients"; return &given->options.max_clients;
    case 'm': return &given->options.max_message;
    case 'o': return &given->options.max_objects;
    case 'O': return &given->options.client_objects;
    case 'r': return &given->options.client_requests;
    case 'b': return &given->options.client_bytes;
    default: return NULL;
    }
}

/* … and the time. */
static int64_t *timed(struct given *given, int option)
{
    switch (option) {
    case 's': return &given->silence_ns;
    case 'i': return &given->options.snapshot_ns;
    case 'g': return &given->options.grace_ns;
    case 'l': return &given->options.lease_ns;
    default: return NULL;
    }
}

/* More than a day is one. */
static bool read_time(const char *word, int64_t *time_ns)
{
    if (!parse_duration(word, time_ns) || *time_ns <= 0) return false;
    if (*time_ns > DAY_NS) *time_ns = DAY_NS;
    return true;
}

/* -1: go on; otherwise the exit code. */
static int read_options(int count, char **words, struct given *given)
{
    static const struct option names[] = {
        {"key-file", required_argument, NULL, 'k'},
        {"max-clients", required_argument, NULL, 'c'},
        {"max-message", required_argument, NULL, 'm'},
        {"max-objects", required_argument, NULL, 'o'},
        {"client-objects", required_argument, NULL, 'O'},
        {"client-requests", required_argument, NULL, 'r'},
        {"client-bytes", required_argument, NULL, 'b'},
        {"silence", required_argument, NULL, 's'},
        {"interval", required_argument, NULL, 'i'},
        {"grace", required_argument, NULL, 'g'},
        {"lease", required_argument, NULL, 'l'},
        {"certificate", required_argument, NULL, 'C'},
        {"private-key", required_argument, NULL, 'K'},
        {"authorities", required_argument, NULL, 'A'},
        {"snapshot", required_argument, NULL, 'S'},
        {"permissions", required_argument, NULL, 'p'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *what;
    size_t *number;
    int64_t *time_ns;
    optind = 0;
    opterr = 0;
    for (int option; (option = getopt_long(count, words, ":k:p:qh", names, NULL)) >= 0;) {
        switch (option) {
        case 'k': given->key_file = optarg; break;
        case 'S': given->options.snapshot = optarg; break;
        case 'C': given->options.certificate = optarg; break;
        case 'K': given->options.private_key = optarg; break;
        case 'A': given->options.authorities = optarg; break;
        case 'p': given->permission_file = optarg; break;
        case 'q': given->quiet = true; break;
        case 'h': return fputs(help, stdout) < 0 || fflush(stdout) != 0 ? EXIT_OTHER : 0;
        default:
            number = counted(given, option, &what);
            time_ns = timed(given, option);
            if (number != NULL && !read_count(optarg, number)) return refuse(what, optarg);
            if (time_ns != NULL && !read_time(optarg, time_ns)) return refuse("not a time", optarg);
            if (number != NULL || time_ns != NULL) break;
            return refuse(option == ':' ? "an option lacks its argument" : "unknown option",
                          words[optind - 1]);
        }
    }
    return -1;
}

/* NAME=TYPE becomes an entry, with a copy of the name: what ps(1) shows stays as it was typed. */
static bool read_types(int count, char **words, kin_manager_type *types)
{
    for (int i = 0; i < count; i++) {
        const char *equal = strchr(words[i], '=');
        if (equal == NULL || equal == words[i] || equal[1] == '\0') {
            refuse("not NAME=TYPE", words[i]);
            return false;
        }
        types[i] =
            (kin_manager_type){.name = strndup(words[i], (size_t)(equal - words[i])), .shared = equal + 1};
    }
    return true;
}

static void free_types(kin_manager_type *types, int count)
{
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)types[i].name);
}

/* ---- serving --------------------------------------------------------------------------------------------- */

/* Whoever has started us waits for it: without, nobody finds us. */
static void print_address(const char *address, void *of_given)
{
    struct given *given = of_given;
    if (printf("%s\n", address) > 0 && fflush(stdout) == 0) return;
    say("cannot write the address: %s", strerror(errno));
    given->unheard = true;
    raise(SIGTERM);
}

static void log_line(enum kin_log_level level, const char *line, void *unused)
{
    (void)level;
    (void)unused;
    say("%s", line);
}

static const char *reason(const struct given *given, int rc)
{
    static char why[512];
    bool of_file = rc == KIN_ETLS || (given->options.certificate != NULL && (rc == -ENOENT || rc == -EACCES));
    if (of_file && kin_tls_text(why, sizeof why) > 0) return why;
    const char *words = kin_process_error();
    if (words[0] != '\0') return words;
    if (rc == -EINVAL && (given->options.certificate != NULL || given->options.authorities != NULL))
        return "certificates are for tls://, the authorities' besides one's own";
    return kin_strerror(rc);
}

static int serve(struct given *given, int count, char **words, kin_manager_type *types)
{
    if (!read_types(count - 1, words + 1, types)) return EXIT_OTHER;
    if (!key_read(&given->key, given->key_file, !given->quiet)) return EXIT_OTHER;
    if (given->permission_file != NULL &&
        !permissions_read(&given->permissions, given->permission_file, !given->quiet))
        return EXIT_OTHER;
    given->options.credentials = given->permissions.credentials;
    given->options.credential_count = given->permissions.count;
    /* A part of a second is a whole one. */
    given->options.silence_s = (unsigned)((given->silence_ns + SECOND_NS - 1) / SECOND_NS);
    given->options.key = given->key.bytes;
    given->options.key_size = given->key.size;
    kin_log_set(log_line, given->quiet ? KIN_LOG_ERROR : KIN_LOG_WARNING, NULL);
    given->options.address = words[0];
    given->options.types = types;
    given->options.type_count = (size_t)count - 1;
    given->options.ready = print_address;
    given->options.context = given;
    given->options.end_by_signal = true;
    int rc = kin_manager_serve(&given->options);
    if (rc == 0) return given->unheard ? EXIT_OTHER : 0;
    say("cannot serve at %s: %s", words[0], reason(given, rc));
    return EXIT_OTHER;
}

int serve_main(int count, char **words)
{
    struct given given = {0};
    say_as("kin serve");
    int code = read_options(count, words, &given);
    if (code >= 0) return code;
    if (optind == count) return refuse("an argument is missing", "ADDRESS");
    if (given.key_file == NULL) return refuse("an option is missing", "--key-file");
    /* By the key alone TLS cannot tell several apart. */
    if (given.permission_file != NULL && given.options.certificate == NULL &&
        strncmp(words[optind], "tls:", strlen("tls:")) == 0)
        return refuse("--permissions at tls:// needs a certificate", "--certificate");
    if (given.options.snapshot_ns > 0 && given.options.snapshot == NULL)
        return refuse("--interval is of a snapshot, and an option is missing", "--snapshot");
    kin_manager_type types[count - optind];
    memset(types, 0, sizeof types);
    code = serve(&given, count - optind, words + optind, types);
    free_types(types, count - optind - 1);
    permissions_free(&given.permissions);
    return code;
}
