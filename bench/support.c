/* support.c: measuring: runs in processes of their own, in turns, with counts that fit.
 *
 * The parent never runs a contender itself.  A run's process leads a process group; what is
 * left of the group when the run is over or its deadline has passed is killed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

/* What a run tells the parent. */
struct message {
    double seconds;
    double ratio; /* the median of its pairs; 0: it had none */
    enum bench_status status;
    bool has_reason;
    char reason[BENCH_REASON_SIZE];
};

struct settings {
    bool quick;
    int rounds;
    double seconds;  /* that one run should take */
    double deadline; /* after which one has hung */
    const char *json;
    const char *only_case;
    const char *only_contender;
};

/* Shared with the process of the run, once bench_main has begun. */
static struct message before_main;
static struct message *message = &before_main;

double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bench_fail(const char *format, ...)
{
    if (!__atomic_exchange_n(&message->has_reason, true, __ATOMIC_ACQ_REL)) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message->reason, sizeof message->reason, format, arguments);
        va_end(arguments);
    }
    message->status = BENCH_FAILED;
    return -1;
}

double bench_unable(const char *reason)
{
    bench_fail("%s", reason);
    message->status = BENCH_IS_UNABLE;
    return -1;
}

double bench_missing(void)
{
    message->status = BENCH_IS_MISSING;
    return -1;
}

static struct {
    double ratios[4096];
    size_t count;
} pairs;

void bench_pair(double own, double other)
{
    if (pairs.count < sizeof pairs.ratios / sizeof *pairs.ratios) pairs.ratios[pairs.count++] = own / other;
}

void *bench_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        bench_fail("no %zu bytes of shared memory: %s", size, strerror(errno));
        _exit(1);
    }
    return memory;
}

/* ---- one run --------------------------------------------------------------------------------- */

static void run_and_exit(const struct bench_contender *contender, const struct bench_case *test, long count)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    double seconds = contender->run(test, count);
    message->seconds = seconds;
    if (pairs.count > 0) message->ratio = bench_median(pairs.ratios, pairs.count);
    if (seconds <= 0 && message->status == BENCH_OK) bench_fail("it took no time");
    _exit(0);
}

/* Waits until the child has ended; false when the deadline passed first. */
static bool ended_in_time(pid_t child, double seconds)
{
    int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
    if (descriptor < 0) return true;
    double deadline = bench_now() + seconds;
    struct pollfd item = {.fd = descriptor, .events = POLLIN};
    int ready;
    do {
        double left = deadline - bench_now();
        ready = poll(&item, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    } while (ready < 0 && errno == EINTR);
    close(descriptor);
    return ready > 0;
}

/* One run; returns the seconds or leaves in `result` why there are none. */
static double run_once(struct bench_result *result, const struct bench_case *test, long count,
                       double deadline)
{
    memset(message, 0, sizeof *message);
    pid_t child = fork();
    if (child == 0) run_and_exit(result->contender, test, count);
    if (child < 0) {
        bench_fail("cannot fork: %s", strerror(errno));
    } else {
        setpgid(child, child);
        bool in_time = ended_in_time(child, deadline);
        kill(-child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        if (!in_time)
            bench_fail("hung: not finished after %.0f s", deadline);
        else if (WIFSIGNALED(status))
            bench_fail("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (message->status == BENCH_OK && message->seconds <= 0)
            bench_fail("it ended without a figure");
    }
    result->status = message->status;
    memcpy(result->reason, message->reason, sizeof result->reason);
    return message->seconds;
}

/* Finds a count that takes about as long as a run should. */
static void calibrate(struct bench_result *result, const struct bench_case *test,
                      const struct settings *settings)
{
    if (!result->contender->run) {
        result->status = BENCH_IS_MISSING;
        return;
    }
    result->count = settings->quick && test->quick_count ? test->quick_count : test->fixed_count;
    if (result->count) return;
    long count = test->first_count ? test->first_count : 1000;
    for (;;) {
        double seconds = run_once(result, test, count, settings->deadline);
        if (result->status != BENCH_OK) return;
        double growth = settings->seconds / seconds;
        if (seconds >= settings->seconds / 3) {
            count = (long)((double)count * growth);
            break;
        }
        count = (long)((double)count * (growth > 16 ? 16 : growth * 1.1));
    }
    result->count = count > 0 ? count : 1;
}

static void measure(struct bench_result *result, const struct bench_case *test,
                    const struct settings *settings)
{
    if (result->status != BENCH_OK) return;
    double seconds = run_once(result, test, result->count, settings->deadline);
    if (result->status != BENCH_OK) return;
    double operations = (double)result->count * (double)(test->batch ? test->batch : 1);
    double figure = test->unit == BENCH_PER_SECOND     ? operations / seconds
                    : test->unit == BENCH_MICROSECONDS ? seconds / operations * 1e6
                    : test->unit == BENCH_BYTES        ? seconds / operations
                                                       : seconds;
    result->ratios[result->runs] = message->ratio;
    result->figures[result->runs++] = figure;
}

/* ---- a program ------------------------------------------------------------------------------- */

static bool wanted(const char *name, const char *only)
{
    return !only || strcasestr(name, only);
}

static void run_case(struct bench_outcome *outcome, const struct bench_case *test,
                     const struct settings *settings)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->test = test;
    for (const struct bench_contender *c = test->contenders; c->name; c++)
        if (wanted(c->name, settings->only_contender) && outcome->count < BENCH_MAX_CONTENDERS)
            outcome->results[outcome->count++].contender = c;
    for (int i = 0; i < outcome->count; i++) calibrate(&outcome->results[i], test, settings);
    for (int round = 0; round < settings->rounds; round++)
        for (int i = 0; i < outcome->count; i++) measure(&outcome->results[i], test, settings);
    for (int i = 0; i < outcome->count; i++) bench_summarize(&outcome->results[i]);
}

static bool failed_at_home(const struct bench_outcome *outcome)
{
    for (int i = 0; i < outcome->count; i++)
        if (outcome->results[i].contender->role != BENCH_PEER && outcome->results[i].status == BENCH_FAILED)
            return true;
    return false;
}

static int usage(const char *program, const char *problem)
{
    fprintf(
        stderr,
        "%s: %s\n"
        "usage: %s [--quick] [--rounds N] [--seconds S] [--json FILE] [--case TEXT] [--only TEXT] [--list]\n",
        program, problem, program);
    return 2;
}

static const char *parse(struct settings *settings, bool *list, char **argv)
{
    for (char **word = argv + 1; *word; word++) {
        const char *name = *word;
        if (!strcmp(name, "--quick")) {
            settings->quick = true;
            continue;
        }
        if (!strcmp(name, "--list")) {
            *list = true;
            continue;
        }
        const char *value = *++word;
        if (!value) return "an option is unknown or lacks its value";
        if (!strcmp(name, "--rounds"))
            settings->rounds = atoi(value);
        else if (!strcmp(name, "--seconds"))
            settings->seconds = atof(value);
        else if (!strcmp(name, "--json"))
            settings->json = value;
        else if (!strcmp(name, "--case"))
            settings->only_case = value;
        else if (!strcmp(name, "--only"))
            settings->only_contender = value;
        else
            return "an option is unknown";
    }
    if (settings->rounds < 0 || settings->rounds > BENCH_MAX_ROUNDS || settings->seconds < 0)
        return "--rounds wants 1 to 99, --seconds a positive number";
    if (!settings->rounds) settings->rounds = settings->quick ? 5 : 7;
    if (settings->seconds == 0) settings->seconds = settings->quick ? 0.03 : 0.2;
    return NULL;
}

int bench_main(int argc, char **argv, const char *title, const struct bench_case *cases, size_t count)
{
    (void)argc;
    struct settings settings = {.deadline = 30};
    bool list = false;
    const char *problem = parse(&settings, &list, argv);
    if (problem) return usage(argv[0], problem);
    for (size_t i = 0; list && i < count; i++) printf("%s\n", cases[i].name);
    if (list) return 0;
    FILE *json = settings.json ? fopen(settings.json, "w") : NULL;
    if (settings.json && !json) {
        fprintf(stderr, "%s: cannot write %s: %s\n", argv[0], settings.json, strerror(errno));
        return 2;
    }
    message = mmap(NULL, sizeof *message, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (message == MAP_FAILED) {
        perror(argv[0]);
        return 1;
    }
    if (json) bench_json_begin(json, title, settings.quick);
    static struct bench_outcome outcome;
    bool failed = false;
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        if (!wanted(cases[i].name, settings.only_case)) continue;
        fflush(NULL);
        run_case(&outcome, &cases[i], &settings);
        bench_print(stdout, title, &outcome);
        if (json) bench_json_case(json, &outcome, first);
        first = false;
        failed |= failed_at_home(&outcome);
    }
    if (json) {
        bench_json_end(json);
        fclose(json);
    }
    return failed;
}

/* ---- memory that is touched ------------------------------------------------------------------ */

typedef uint64_t words __attribute__((vector_size(32), aligned(8), may_alias));

void bench_fill(void *memory, size_t size, uint64_t number)
{
    memset((char *)memory + sizeof number, (int)(number & 0xff), size - sizeof number);
    memcpy(memory, &number, sizeof number);
}

uint64_t bench_sum(const void *memory, size_t size)
{
    words sums[4] = {{0}};
    const char *at = memory;
    size_t i = 0;
    for (; i + sizeof sums <= size; i += sizeof sums)
        for (size_t lane = 0; lane < 4; lane++) sums[lane] += *(const words *)(at + i + lane * sizeof(words));
    words all = sums[0] + sums[1] + sums[2] + sums[3];
    uint64_t sum = all[0] + all[1] + all[2] + all[3];
    for (; i < size; i += sizeof sum) {
        uint64_t word;
        memcpy(&word, at + i, sizeof word);
        sum += word;
    }
    return sum;
}
