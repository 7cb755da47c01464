/* test_distributed.c: the distributed job of the tutorial (D01, D02, D03): a master offers tasks and
 * results in two queues, workers know its address and key; each side in C or in Python.
 */
#include "program.h"

#define PYTHONS 16
#define TASKS   10

/* Ten lines "result: n * n = m" for the ten numbers that were put. */
struct job {
    long put[TASKS];
    int puts;
    int results;
};

static void take_line(struct job *job, const char *line)
{
    long n, again, square;
    if (sscanf(line, "put task %ld", &n) == 1) {
        CHECK_LT(job->puts, TASKS);
        job->put[job->puts++] = n;
    } else if (sscanf(line, "result: %ld * %ld = %ld", &n, &again, &square) == 3) {
        CHECK_EQ(n, again);
        CHECK_EQ(n * n, square);
        int at = 0;
        while (at < job->puts && job->put[at] != n) at++;
        CHECK_LT(at, job->puts);
        job->put[at] = -1;
        job->results++;
    } else {
        FAIL("the master said: %s", line);
    }
}

static void await_results(struct program *master)
{
    struct job job = {0};
    const char *line;
    while (job.results < TASKS && (line = program_line(master)) != NULL) take_line(&job, line);
    CHECK_EQ(job.results, TASKS);
    program_end(master);
}

static struct program start_c_master(char address[64])
{
    struct program master = program_run(program_example("d01_master"), "tcp://127.0.0.1:0");
    const char *line = program_line(&master);
    CHECK(line != NULL && sscanf(line, "the manager is at %63s", address) == 1);
    return master;
}

TEST(a_master_and_three_workers_in_c)
{
    char address[64];
    struct program master = start_c_master(address), workers[3];
    for (int i = 0; i < 3; i++) workers[i] = program_run(program_example("d02_worker"), address);
    await_results(&master);
    /* One that was waiting for more tasks sees the end of the manager as an error: it is told. */
    for (int i = 0; i < 3; i++) program_reap(&workers[i]);
}

TEST(a_master_in_c_and_workers_in_python)
{
    const char *pythons[PYTHONS];
    size_t count = program_pythons(pythons, PYTHONS);
    if (count == 0) SKIP("there is no python3");
    for (size_t i = 0; i < count; i++) {
        char address[64], port[8];
        test_context("with %s", pythons[i]);
        struct program master = start_c_master(address);
        CHECK_EQ(sscanf(address, "tcp://127.0.0.1:%7s", port), 1);
        struct program worker =
            program_run(pythons[i], test_source("tests/interop/worker.py"), "127.0.0.1", port);
        await_results(&master);
        program_reap(&worker);
    }
}

TEST(a_master_in_python_and_workers_in_c)
{
    const char *pythons[PYTHONS];
    size_t count = program_pythons(pythons, PYTHONS);
    if (count == 0) SKIP("there is no python3");
    for (size_t i = 0; i < count; i++) {
        char address[64];
        test_context("with %s", pythons[i]);
        struct program master = program_run(pythons[i], test_source("tests/interop/master.py"));
        const char *line = program_line(&master);
        CHECK(line != NULL && sscanf(line, "%63s", address) == 1);
        struct program worker = program_run(program_example("d02_worker"), address);
        await_results(&master);
        program_reap(&worker);
    }
}
