/* test_examples.c: every program of examples/ does what its row of the tutorials says.
 *
 * In an expected line {name} stands for a number, such as a pid: the same number wherever the same
 * name is, and another one for another name.
 */
#define _GNU_SOURCE
#include "example.h"

#include <sched.h>

#include <kin/process.h>

/* How many lines are that pattern; the places in it may be other numbers each time. */
static int count(const char *pattern)
{
    int found = 0;
    for (int i = 0; i < example_lines; i++) {
        int bound = example_place_count;
        found += example_matches(pattern, example_line[i]);
        example_place_count = bound;
    }
    return found;
}

/* ---- processes ------------------------------------------------------------------------------------- */

TEST(p01_fork)
{
    example_run("p01_fork");
    example_expect("I am the parent, {parent}; fork told me that my child is {child}",
                   "I am the child, {child}; getppid told me that my parent is {parent}");
}

TEST(p02_process)
{
    example_run("p02_process");
    example_expect("parent {parent}: starting a child", "child {child}: hello, test",
                   "parent {parent}: child {child} has ended");
}

TEST(p03_arguments)
{
    example_run("p03_arguments");
    example_expect("Ada, 36, from London", "Process-1: pid {ada}, ended, ordinary, exit code 36",
                   "Galileo, 77, from Pisa", "astronomer: pid {galileo}, ended, daemon, exit code 77");
}

TEST(p04_isolation)
{
    example_run("p04_isolation");
    example_expect("child: 3 in the list, counter is 101", "parent: 0 in the list, counter is 100");
}

TEST(p05_asynchronous)
{
    example_run("p05_asynchronous");
    int end = example_find("both have ended", 0);
    CHECK_EQ(end, example_lines - 1);
    /* Each has taken its three steps before the other one stopped. */
    CHECK_LT(example_find("parent: step 3", 0), end);
    CHECK_LT(example_find("child: step 3", 0), end);
    for (int i = 1; i <= 3; i++) {
        char line[32];
        snprintf(line, sizeof line, "child: step %d", i);
        CHECK_EQ(count(line), 1);
    }
}

TEST(p06_no_join)
{
    /* It returns before its children have done their work, unless no processor was free for it. */
    do {
        example_run("p06_no_join");
        CHECK_EQ(example_lines, 3);
    } while (example_find("main returns", 0) != 0);
    example_find("child one has done its work", 1);
    example_find("child two has done its work", 1);
}

TEST(p07_join)
{
    example_run("p07_join");
    example_expect("child: part 1 of 3", "child: part 2 of 3", "child: part 3 of 3", "parent: next line");
}

TEST(p08_ten_children)
{
    example_run("p08_ten_children");
    CHECK_EQ(example_lines, 11);
    for (int i = 0; i < 10; i++) {
        char line[32];
        snprintf(line, sizeof line, "mail %d is sent", i);
        CHECK_EQ(count(line), 1);
    }
    CHECK_EQ(example_find("all mails are sent", 0), 10);
}

TEST(p09_own_type)
{
    example_run("p09_own_type");
    example_expect("main, in process {main}", "launch in 3", "launch in 2", "launch in 1",
                   "launch now, in process {launch}", "landing in 2", "landing in 1",
                   "landing now, in process {landing}");
}

TEST(p10_daemon)
{
    /* That the output ends shows that the daemon has ended. */
    example_run("p10_daemon");
    int end = example_find("main returns; is the child a daemon: 1", 0);
    CHECK_LT(example_find("daemon: line 3", 0), end);
}

TEST(p11_daemon_and_ordinary)
{
    /* It returns before its child has finished, unless no processor was free for it. */
    do {
        example_run("p11_daemon_and_ordinary");
        CHECK_EQ(example_lines, 2);
        example_find("the ordinary child has finished", 0);
    } while (example_find("main returns", 0) != 0);
}

TEST(p12_join_deadline)
{
    example_run("p12_join_deadline");
    example_expect("join came back after the deadline: yes", "the child is alive: yes",
                   "killed; the child is alive: no");
}

TEST(p13_terminate)
{
    example_run("p13_terminate");
    example_expect("alive: 1", "alive: 0", "exit code -15: signal 15, Terminated");
}

TEST(p14_standard_input)
{
    example_input = "typed\n";
    example_run("p14_standard_input");
    example_expect("child: end of file", "parent: typed");
}

TEST(start_spawn)
{
    example_run("start_spawn");
    example_expect("the sum is 5050");
}

TEST(start_forkserver)
{
    example_run("start_forkserver");
    example_expect("the square of 7 is 49", "the square of 8 is 64", "the square of 9 is 81",
                   "here nothing was prepared: 0");
}

TEST(p15_crash)
{
    if (test_sanitized()) SKIP("a sanitizer catches the fault and ends the child by exit");
    example_run("p15_crash");
    CHECK_EQ(example_lines, 6);
    /* It is printed, and told. */
    CHECK_EQ(count("about to write where nothing is"), 1);
    CHECK_EQ(count("faulty died: Segmentation fault, after its last words: about to write where nothing is"),
             1);
    CHECK_EQ(count("a healthy child is told to go on"), 2);
    CHECK_EQ(count("first ended with code 0"), 1);
    CHECK_STR(example_line[5], "second ended with code 0");
}

/* ---- pools ------------------------------------------------------------------------------------------- */

TEST(l01_apply_async)
{
    example_run("l01_apply_async");
    int running = 0, started = 0;
    for (int i = 0; i < example_lines; i++) {
        if (strstr(example_line[i], " starts in process ") != NULL) {
            running++;
            started++;
        }
        if (strstr(example_line[i], " took ") != NULL) running--;
        CHECK_LE(running, 4);
    }
    CHECK_EQ(started, 5);
    CHECK_EQ(running, 0);
    for (int i = 0; i < 5; i++) {
        char line[64];
        snprintf(line, sizeof line, "task %d took {seconds}.{hundredths} s", i);
        CHECK_EQ(count(line), 1);
    }
    CHECK_EQ(example_find("all are done", 0), example_lines - 1);
}

TEST(l02_default_size)
{
    char all[32];
    example_run("l02_default_size");
    snprintf(all, sizeof all, "workers: %d", kin_cpu_count());
    example_find(all, 0);

    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_OK(sched_setaffinity(0, sizeof one, &one));
    example_run("l02_default_size");
    example_expect("usable processors: 1", "workers: 1");
}

TEST(l03_apply)
{
    example_run("l03_apply");
    example_expect("1 * 1 = 1", "2 * 2 = 4", "3 * 3 = 9", "4 * 4 = 16", "5 * 5 = 25");
}

TEST(l04_results)
{
    example_run("l04_results");
    example_expect("after the wait, ready: 1", "1 / 0 failed: Numerical argument out of domain",
                   "1 / 1 = 1.00", "1 / 2 = 0.50", "1 / 3 = 0.33");
}

TEST(l05_closed)
{
    example_run("l05_closed");
    CHECK_EQ(example_lines, 3);
    CHECK(strstr(example_line[0], "join before close: KIN_ESTATE (") == example_line[0]);
    CHECK(strstr(example_line[1], "submit after close: KIN_ECLOSED (") == example_line[1]);
    CHECK_STR(example_line[2], "join after close: done");
}

TEST(l06_reuse)
{
    example_run("l06_reuse");
    CHECK(example_matches("the parent is {parent}", example_line[0]));
    int workers = example_lines - 1, tasks = 0;
    CHECK_GE(workers, 1);
    CHECK_LE(workers, 3);
    for (int i = 1; i <= workers; i++) {
        char pattern[64];
        int pid, done;
        CHECK_EQ(sscanf(example_line[i], "worker %d has run %d tasks", &pid, &done), 2);
        snprintf(pattern, sizeof pattern, "worker {worker %d} has run %d tasks", i, done);
        CHECK(example_matches(pattern, example_line[i]));
        tasks += done;
    }
    CHECK_EQ(tasks, 200);
}

TEST(l07_queue_in_task)
{
    example_run("l07_queue_in_task");
    CHECK_EQ(example_lines, 6);
    int parent, number, pid;
    CHECK_EQ(sscanf(example_line[5], "the parent is %d", &parent), 1);
    unsigned seen = 0;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sscanf(example_line[i], "task %d was here, in process %d", &number, &pid), 2);
        CHECK_NE(pid, parent);
        seen |= 1u << number;
    }
    CHECK_EQ(seen, 0x1fu);
}

/* ---- communication ----------------------------------------------------------------------------------- */

TEST(c01_queue)
{
    example_run("c01_queue");
    example_expect("1", "4", "9", "16", "the queue is empty");
}

TEST(c01_values)
{
    example_run("c01_values");
    CHECK_EQ(example_lines, 5);
    CHECK_STR(example_line[0], "tuple: ('size', [640, 480])");
    CHECK_STR(example_line[1], "size is 640 by 480");
    CHECK_STR(example_line[2], "dict: {'name': 'Ada', 'score': 99.5, 'team': None}");
    CHECK_STR(example_line[3], "list: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]");
    CHECK_STR(example_line[4], "closed");
}

TEST(c02_writer_reader)
{
    example_run("c02_writer_reader");
    CHECK_EQ(example_lines, 7);
    int last = -1;
    for (char letter = 'A'; letter <= 'C'; letter++) {
        char put[16], got[16];
        snprintf(put, sizeof put, "put %c", letter);
        snprintf(got, sizeof got, "got %c", letter);
        last = example_find(got, last + 1);
        CHECK_LT(example_find(put, 0), last);
    }
    CHECK_EQ(example_find("the reader is gone, the queue still works: D", last), 6);
}

TEST(c03_drain)
{
    example_run("c03_drain");
    example_expect("got 0", "got 1", "got 2", "got 3", "got 4", "the queue is empty");
}

TEST(c04_bounded_queue)
{
    example_run("c04_bounded_queue");
    example_expect("qsize 0, full 0, empty 1", "qsize 2, full 1, empty 0",
                   "put without waiting: the queue was full until the deadline",
                   "put with a deadline waited: the queue was full until the deadline",
                   "put waited until another process got one", "qsize 0, full 0, empty 1",
                   "get without waiting: nothing came until the deadline, or there is no more",
                   "get with a deadline waited: nothing came until the deadline, or there is no more",
                   "get waited until another process put 7");
}

TEST(c05_both_ways)
{
    example_run("c05_both_ways");
    example_expect("child got: how are you?", "parent got: fine, thanks");
}

TEST(c06_sums)
{
    /* The consumer leaves when nothing has come for a second, which the producer may take to begin. */
    for (example_lines = 0; example_lines != 7;) example_run("c06_sums");
    for (int i = 0; i < 6; i++) {
        int x, y, sum;
        CHECK_EQ(sscanf(example_line[i], "%d + %d = %d", &x, &y, &sum), 3);
        CHECK_EQ(x + y, sum);
    }
    CHECK_STR(example_line[6], "the consumer ends: nothing came until the deadline, or there is no more");
}

TEST(c07_joinable)
{
    example_run("c07_joinable");
    example_expect("1 squared is 1", "2 squared is 4", "3 squared is 9", "4 squared is 16", "5 squared is 25",
                   "all tasks are done", "once more: every task that was taken is done already");
}

TEST(c08_pipe)
{
    example_run("c08_pipe");
    example_expect("received: hello", "received: how are you?", "received: END");
}

TEST(c09_pipe_both_ways)
{
    example_run("c09_pipe_both_ways");
    example_expect("child got: how are you?", "parent got: fine, thanks",
                   "60 messages whole, 0 mixed; then: closed");
}

TEST(c10_message_queue)
{
    example_run("c10_message_queue");
    example_expect("5 bytes: short", "16 bytes: a longer message", "0 bytes: ");
}

TEST(c10_signal)
{
    example_run("c10_signal");
    example_expect("1 from the child", "4 from the child", "9 from the child");
}

TEST(c10_pipe)
{
    example_run("c10_pipe");
    example_expect("1", "4", "9", "16", "25", "then: closed");
}

TEST(c10_socket)
{
    const char *said[] = {"anna: the server said ANNA", "bert: the server said BERT",
                          "cleo: the server said CLEO",
                          "stranger: authentication failed: the other side has another key"};
    example_run("c10_socket");
    CHECK_EQ(example_lines, 4);
    for (int i = 0; i < 4; i++) {
        int times = 0;
        for (int line = 0; line < 4; line++) times += strcmp(example_line[line], said[i]) == 0;
        CHECK_EQ(times, 1);
    }
}

TEST(c10_semaphore)
{
    example_run("c10_semaphore");
    CHECK_EQ(example_lines, 6);
    CHECK_STR(example_line[0], "1 squared is 1");
    CHECK_STR(example_line[4], "5 squared is 25");
    CHECK(strstr(example_line[5], "a sixth: ") == example_line[5]);
    CHECK(strstr(example_line[5], "there is one") == NULL);
}

/* ---- synchronisation, threads ------------------------------------------------------------------------ */

TEST(y01_lock)
{
    example_run("y01_lock");
    CHECK_EQ(example_lines, 5);
    CHECK_STR(example_line[0], "the lock is acquired");
    CHECK(strstr(example_line[1], "a second time: EDEADLK (") == example_line[1]);
    CHECK_STR(example_line[2], "another process: ETIMEDOUT");
    CHECK_STR(example_line[3], "the lock is released");
    CHECK_STR(example_line[4], "another process: has the lock");
}

static void karaoke(void)
{
    example_run("y02_karaoke");
    int inside = 0;
    CHECK_EQ(example_lines, 13);
    for (int i = 0; i < 12; i++) {
        /* A line is written before the place is given back, so that what is read is never too much. */
        inside += strstr(example_line[i], " enters, ") != NULL ? 1 : -1;
        CHECK_GE(inside, 0);
        CHECK_LE(inside, 4);
    }
    CHECK_EQ(inside, 0);
    CHECK(strstr(example_line[12], " inside; 4 places are free") != NULL);
}

TEST(y02_karaoke)
{
    /* The first four are there at the same time, unless they came so slowly that one had left. */
    do karaoke();
    while (strcmp(example_line[12], "never more than 4 inside; 4 places are free") != 0);
}

TEST(y03_event)
{
    example_run("y03_event");
    CHECK_EQ(example_lines, 6);
    CHECK_STR(example_line[0], "is it set: no");
    CHECK_STR(example_line[1], "wait with a deadline: ETIMEDOUT");
    for (int i = 1; i <= 2; i++) {
        char line[32];
        snprintf(line, sizeof line, "runner %d is off", i);
        CHECK_GE(example_find(line, 2), 2);
    }
    CHECK_STR(example_line[4], "is it set: yes");
    CHECK_STR(example_line[5], "cleared; is it set: no");
}

TEST(y10_condition)
{
    example_run("y10_condition");
    example_expect("a customer waits: the shelf is empty",
                   "2000 loaves baked, 2000 eaten, numbers that add up to 1001000",
                   "never more than 3 on the shelf: yes");
}

TEST(y11_rwlock)
{
    example_run("y11_rwlock");
    example_expect("1000 routes written, readers that saw half of one: 0", "a writer ended with -9",
                   "told of the death of a writer, the route is in halves", "repaired: yes");
}

TEST(y12_barrier)
{
    example_run("y12_barrier");
    CHECK_EQ(example_lines, 10);
    for (int round = 0; round < 2; round++) {
        char line[64];
        for (int i = 1; i <= 3; i++) {
            snprintf(line, sizeof line, "walker %d is at stage %d", i, round + 1);
            int at = example_find(line, 0);
            CHECK_GE(at, 4 * round);
            CHECK_LT(at, 4 * round + 3);
        }
        snprintf(line, sizeof line, "all are at stage %d", round + 1);
        CHECK_STR(example_line[4 * round + 3], line);
    }
    CHECK(strstr(example_line[8], "the barrier is broken; ") != NULL);
    CHECK(strstr(example_line[9], "walker 2 was killed by signal 9") != NULL);
}

TEST(y04_balance)
{
    example_run("y04_balance");
    long balance, lost;
    CHECK_EQ(example_lines, 2);
    CHECK_EQ(
        sscanf(example_line[0], "without a lock: balance is %ld, %ld changes were lost", &balance, &lost), 2);
    CHECK_GT(lost, 0);
    CHECK_STR(example_line[1], "with a lock: balance is 0, 0 changes were lost");
}

TEST(t04_threads_in_processes)
{
    example_run("t04_threads_in_processes");
    example_expect("12 threads in 3 processes: summed up 515100, received 515100");
}

/* ---- other programs -------------------------------------------------------------------------------- */

TEST(x01_call)
{
    example_run("x01_call");
    example_expect("$ echo", "these are arguments", "exit code: 0", "$ sh", "exit code: 3", "$ sh",
                   "exit code: -15", "$ no-such-command",
                   "cannot run no-such-command: no such file or directory", "expr says 42");
}

TEST(x02_communicate)
{
    example_run("x02_communicate");
    example_expect("stdout: apple", "fig", "pear", "stderr: sorted", "exit code: 5",
                   "8388608 bytes in, 8388608 and 8388608 bytes out");
}

TEST(x03_popen_parameters)
{
    example_run("x03_popen_parameters");
    example_expect("buffer_size: 100000", "executable: my-name", "stdin: typed", "stdin: at its end",
                   "stdout: nothing", "stderr: joined", "preexec_fn: before,after", "close_fds: closed",
                   "pass_fds: open", "keep_fds: open", "shell: 42", "cwd: /usr", "env: ONLY=this",
                   "env_changes: added", "umask: 0027", "start_new_session: leader", "text line: one",
                   "text line: two", "text line: three");
}

TEST(w01_wait)
{
    const char *said[] = {"queue: 1",      "queue: 2",   "queue: 3",
                          "pipe: by pipe", "event: set", "process: ended"};
    example_run("w01_wait");
    CHECK_EQ(example_lines, 6);
    for (int i = 0; i < 6; i++) {
        int times = 0;
        for (int line = 0; line < 6; line++) times += strcmp(example_line[line], said[i]) == 0;
        CHECK_EQ(times, 1);
    }
}

/* ---- managers ------------------------------------------------------------------------------------------ */

TEST(m02_shared_list)
{
    example_run("m02_shared_list");
    example_expect("a record is inserted", "Ada: 100", "Babbage: 87", "Hopper: 98");
}

TEST(m03_fifty_processes)
{
    example_run("m03_fifty_processes");
    example_expect("data[0] is 50", "data[\"count\"] is 50");
}

TEST(m04_every_kind)
{
    example_run("m04_every_kind");
    example_expect("list: copy gives [1, 2, 3]", "dict: get gives 36", "Queue: get gives 'hello'",
                   "Value: get gives 0.5", "Array: __getitem__ gives 3",
                   "Namespace: __getattribute__ gives 1", "Lock: acquire gives True",
                   "RLock: acquire gives True", "Semaphore: acquire gives True",
                   "BoundedSemaphore: acquire gives True", "Condition: acquire gives True",
                   "Event: is_set gives False", "Barrier: wait gives 0");
}

TEST(l08_manager_queue)
{
    example_run("l08_manager_queue");
    example_expect("got A", "got B", "got C", "3 were written, 3 read");
}

TEST(l09_manager_lock)
{
    example_run("l09_manager_lock");
    example_expect("12 values, 0 mixed with another writer's");
}

TEST(d04_bad_days)
{
    example_run("d04_bad_days");
    example_expect("with a wrong key: authentication failed: the other side has another key",
                   "a worker has taken task 1 and is killed",
                   "4 tasks are done, the sum of their squares is 30", "without a master: an error at once");
}

TEST(c11_batches)
{
    example_run("c11_batches");
    example_expect("100000 numbers, sum 4999950000, at most 64 at once: yes", "then: closed", "put 2 of 3");
}

TEST(c12_priority)
{
    example_run("c12_priority");
    example_expect("put out the fire", "water the plants", "feed the cat", "learn the violin", "c", "b", "a");
}

TEST(c13_redelivery)
{
    example_run("c13_redelivery");
    example_expect("first worker: task 0", "first worker: task 1", "second worker: task 2",
                   "second worker: task 3", "all tasks are done");
}
