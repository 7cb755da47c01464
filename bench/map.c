/* map.c: `kin map` against other ways to run something for each of many inputs, two at a time:
 * hashing every file below /usr/share, and starting /bin/true 5,000 times.
 *
 * Commands are measured whole.  What they write is checked after the clock has stopped: all
 * that is written together must have the right size; kin and the limit must have written the
 * right lines (the peers may break lines of each other).  Names with a newline or a backslash
 * are left out, because each tool escapes them in a way of its own. */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TREE "/usr/share"
enum { STARTS = 5000, QUICK_STARTS = 500 };

extern char **environ;

static struct {
    char directory[64]; /* of the files below, removed at the end */
    char names_file[96], numbers_file[96], makefile[96], output[96];
    char **names;
    long count, room;
    off_t size;      /* of what must be written */
    uint64_t digest; /* of its lines, whatever their order */
} input;

/* ---- what the inputs are --------------------------------------------------------------------- */

static int add_file(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || !S_ISREG(status->st_mode) || strpbrk(path, "\n\\") || access(path, R_OK)) return 0;
    if (input.count == input.room) {
        input.room = input.room ? input.room * 2 : 1024;
        input.names = realloc(input.names, (size_t)input.room * sizeof *input.names);
    }
    char *name = input.names ? strdup(path) : NULL;
    if (!name) return -1;
    input.names[input.count++] = name;
    return 0;
}

static void write_inputs(void)
{
    FILE *names = fopen(input.names_file, "w");
    for (long i = 0; names && i < input.count; i++)
        fwrite(input.names[i], strlen(input.names[i]) + 1, 1, names);
    if (!names || fclose(names)) {
        fprintf(stderr, "cannot write %s: %s\n", input.names_file, strerror(errno));
        exit(1);
    }
}

static int write_starts(long count)
{
    FILE *numbers = fopen(input.numbers_file, "w");
    FILE *makefile = fopen(input.makefile, "w");
    if (!numbers || !makefile)
        return (int)bench_fail("cannot write below %s: %s", input.directory, strerror(errno));
    fprintf(makefile, "jobs =");
    for (long i = 1; i <= count; i++) {
        fprintf(numbers, "%ld\n", i);
        fprintf(makefile, " j%ld", i);
    }
    fprintf(makefile, "\nall: $(jobs)\n.PHONY: all $(jobs)\n$(jobs):\n\t@/bin/true\n");
    return fclose(numbers) | fclose(makefile);
}

/* The sum of a hash of every line: the order does not matter. */
static uint64_t digest_of(FILE *file)
{
    uint64_t sum = 0;
    uint64_t hash = 14695981039346656037u;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        hash = (hash ^ (unsigned char)c) * 1099511628211u;
        if (c == '\n') {
            sum += hash;
            hash = 14695981039346656037u;
        }
    }
    return sum;
}

/* Runs the limit once: the files are in the page cache from now on, and the answer is known. */
static void learn_answer(void)
{
    if (!map_hash_files) return;
    int output = open(input.output, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    FILE *file = output >= 0 ? fdopen(output, "r") : NULL;
    if (!file || map_hash_files(input.names, input.count, output)) {
        fprintf(stderr, "cannot hash the files below %s\n", TREE);
        exit(1);
    }
    rewind(file);
    input.digest = digest_of(file);
    input.size = ftello(file);
    fclose(file);
}

static void tidy(void)
{
    const char *const files[] = {input.names_file, input.numbers_file, input.makefile, input.output};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
    rmdir(input.directory);
}

static void prepare(void)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(input.directory, sizeof input.directory, "%.40s/kin-bench-XXXXXX", base);
    if (!mkdtemp(input.directory)) {
        fprintf(stderr, "cannot make a directory below %s: %s\n", base, strerror(errno));
        exit(1);
    }
    snprintf(input.names_file, sizeof input.names_file, "%s/names", input.directory);
    snprintf(input.numbers_file, sizeof input.numbers_file, "%s/numbers", input.directory);
    snprintf(input.makefile, sizeof input.makefile, "%s/Makefile", input.directory);
    snprintf(input.output, sizeof input.output, "%s/output", input.directory);
    atexit(tidy);
    if (nftw(TREE, add_file, 64, FTW_PHYS) || input.count == 0) {
        fprintf(stderr, "cannot list the files below %s\n", TREE);
        exit(1);
    }
    write_inputs();
    learn_answer();
    printf("%ld files below " TREE "\n", input.count);
}

/* ---- hashing files --------------------------------------------------------------------------- */

/* Passes the seconds on when what was written is right. */
static double checked(double seconds, bool lines)
{
    struct stat status;
    if (seconds <= 0 || input.size == 0) return seconds;
    if (stat(input.output, &status) || status.st_size != input.size)
        return bench_fail("%lld bytes were written, not %lld", (long long)status.st_size,
                          (long long)input.size);
    FILE *file = lines ? fopen(input.output, "r") : NULL;
    if (lines && !file) return bench_fail("cannot read %s: %s", input.output, strerror(errno));
    bool wrong = lines && digest_of(file) != input.digest;
    if (file) fclose(file);
    return wrong ? bench_fail("wrong lines were written") : seconds;
}

static double hash_limit(const struct bench_case *test, long count)
{
    (void)test;
    (void)count;
    if (!map_hash_files) return bench_missing();
    double begin = bench_now();
    int output = open(input.output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    int rc = map_hash_files(input.names, input.count, output);
    close(output);
    return rc ? -1 : checked(bench_now() - begin, true);
}

/* The tool and its library, in the build directory that this program is in. */
static const char *tool(void)
{
    const char *path = bench_beside(0, "../bin/kin");
    return access(path, X_OK) ? NULL : path;
}

static double hash_kin(const struct bench_case *test, long count)
{
    (void)test;
    (void)count;
    const char *kin = tool();
    const char *library = bench_beside(1, "../lib/libhash.so:sha256_file");
    if (!kin) return bench_missing();
    const char *const argv[] = {kin, "map", "-j", "2", "-0", library, NULL};
    return checked(bench_command(argv, input.names_file, input.output), true);
}

static double hash_xargs(const struct bench_case *test, long count)
{
    (void)test;
    (void)count;
    const char *const argv[] = {"xargs", "-0", "-P2", "-n128", "sha256sum", NULL};
    return checked(bench_command(argv, input.names_file, input.output), false);
}

static double hash_gnu_parallel(const struct bench_case *test, long count)
{
    (void)test;
    (void)count;
    const char *const argv[] = {"parallel", "--gnu", "-0", "-j2", "-n128", "sha256sum", NULL};
    return checked(bench_command(argv, input.names_file, input.output), false);
}

static double hash_python(const struct bench_case *test, long count)
{
    (void)test;
    (void)count;
    const char *const argv[] = {"python3", bench_beside(0, "peer_python.py"), "hash", input.names_file, NULL};
    return checked(bench_command(argv, NULL, input.output), false);
}

/* ---- starting commands ----------------------------------------------------------------------- */

static pid_t start_true(void)
{
    static char *argv[] = {"/bin/true", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execve(argv[0], argv, environ);
        _exit(127);
    }
    return pid;
}

static double true_limit(const struct bench_case *test, long count)
{
    (void)test;
    int running = 0;
    int status;
    double begin = bench_now();
    for (long i = 0; i < count || running > 0;) {
        if (i < count && running < MAP_JOBS) {
            if (start_true() < 0) return bench_fail("vfork: %s", strerror(errno));
            i++;
            running++;
        } else if (waitpid(-1, &status, 0) < 0 || status) {
            return bench_fail("/bin/true failed");
        } else {
            running--;
        }
    }
    return bench_now() - begin;
}

static double run_starts(long count, const char *const *argv)
{
    return write_starts(count) ? -1 : bench_command(argv, input.numbers_file, NULL);
}

static double true_kin(const struct bench_case *test, long count)
{
    (void)test;
    const char *kin = tool();
    if (!kin) return bench_missing();
    return run_starts(count, (const char *const[]){kin, "map", "-j", "2", "--", "/bin/true", NULL});
}

static double true_xargs(const struct bench_case *test, long count)
{
    (void)test;
    return run_starts(count, (const char *const[]){"xargs", "-P2", "-n1", "/bin/true", NULL});
}

static double true_gnu_parallel(const struct bench_case *test, long count)
{
    (void)test;
    return run_starts(count, (const char *const[]){"parallel", "--gnu", "-j2", "/bin/true", NULL});
}

static double true_xjobs(const struct bench_case *test, long count)
{
    (void)test;
    return run_starts(count, (const char *const[]){"xjobs", "-j2", "-v0", "/bin/true", NULL});
}

static double true_make(const struct bench_case *test, long count)
{
    (void)test;
    return run_starts(count, (const char *const[]){"make", "-s", "-r", "-j2", "-f", input.makefile, NULL});
}

/* It takes its inputs as arguments. */
static double true_moreutils(const struct bench_case *test, long count)
{
    (void)test;
    const char *const begin[] = {"parallel.moreutils", "-j2", "-n1", "/bin/true", "--"};
    size_t words = sizeof begin / sizeof *begin;
    const char **argv = calloc(words + (size_t)count + 1, sizeof *argv);
    if (!argv) return bench_fail("no memory");
    memcpy(argv, begin, sizeof begin);
    for (long i = 0; i < count; i++) argv[words + (size_t)i] = "1";
    return bench_command(argv, NULL, NULL);
}

static double true_python(const struct bench_case *test, long count)
{
    (void)test;
    char number[24];
    snprintf(number, sizeof number, "%ld", count);
    return bench_command(
        (const char *const[]){"python3", bench_beside(0, "peer_python.py"), "true", number, NULL}, NULL,
        NULL);
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define HASH_LIMIT "forked workers, counter, OpenSSL"
#define TRUE_LIMIT "C loop of vfork, exec, wait"

static const struct bench_contender hashing[] = {
    {BENCH_LIMIT, HASH_LIMIT, hash_limit, "libssl-dev"},
    {BENCH_PEER, "xargs -P2 -n128 sha256sum", hash_xargs, "findutils"},
    {BENCH_KIN, "kin map libhash.so:sha256_file", hash_kin, "bin/kin is not built"},
    {BENCH_PEER, "GNU parallel -j2 -n128 sha256sum", hash_gnu_parallel, "parallel"},
    {BENCH_PEER, "Python imap_unordered, chunks of 32", hash_python, "python3"},
    {0},
};

static const struct bench_contender starting[] = {
    {BENCH_LIMIT, TRUE_LIMIT, true_limit, NULL},
    {BENCH_PEER, "xargs -P2 -n1", true_xargs, "findutils"},
    {BENCH_KIN, "kin map -j 2 -- /bin/true", true_kin, "bin/kin is not built"},
    {BENCH_PEER, "make -j2", true_make, "make"},
    {BENCH_PEER, "moreutils parallel -j2", true_moreutils, "moreutils (with parallel)"},
    {BENCH_PEER, "xjobs -j2", true_xjobs, "xjobs"},
    {BENCH_PEER, "GNU parallel -j2", true_gnu_parallel, "parallel"},
    {BENCH_PEER, "Python Pool(2), posix_spawn", true_python, "python3"},
    {0},
};

static const struct bench_target hashing_target[] = {{HASH_LIMIT, 1.2}, {0}};
static const struct bench_target starting_target[] = {{TRUE_LIMIT, 0.97}, {0}};

static const struct bench_case cases[] = {
    {.name = "sha256 of every file below " TREE,
     .what = "the whole command",
     .unit = BENCH_SECONDS,
     .contenders = hashing,
     .targets = hashing_target,
     .fixed_count = 1},
    {.name = "start /bin/true, 2 at a time",
     .what = "commands",
     .unit = BENCH_PER_SECOND,
     .contenders = starting,
     .targets = starting_target,
     .fixed_count = STARTS,
     .quick_count = QUICK_STARTS},
};

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "--list")) prepare();
    return bench_main(argc, argv, "map", cases, sizeof cases / sizeof *cases);
}
