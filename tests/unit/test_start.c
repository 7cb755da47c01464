/* test_start.c: what a child by each of the methods is started with: arguments and functions. */
#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/start.h"

/* ---- arguments --------------------------------------------------------------------------------- */

START_TEST(a_number_is_an_argument)
{
    CHECK_EQ(finish(start(method, return_number, NULL)), 0);
    CHECK_EQ(finish(start(method, return_number, (void *)7)), 7);
    CHECK_EQ(finish(start(method, return_number, (void *)256)), 0);
}

static int compare_word(void *word)
{
    return strcmp(word, "constant") == 0 ? 3 : 4;
}

START_TEST(a_constant_is_an_argument)
{
    CHECK_EQ(finish(start(method, compare_word, "constant")), 3);
}

static int call(void *function)
{
    return ((kin_process_function *)(uintptr_t)function)((void *)5);
}

START_TEST(a_function_is_an_argument)
{
    CHECK_EQ(finish(start(method, call, (void *)(uintptr_t)return_number)), 5);
}

static int answer_by_queue(void *queue)
{
    int pid = getpid();
    return kin_queue_put(queue, &pid, sizeof pid, KIN_FOREVER);
}

START_TEST(family_memory_is_an_argument)
{
    kin_queue *queue = NULL;
    int pid = 0;
    CHECK_OK(kin_queue_open(&queue, NULL));
    kin_process *process = start(method, answer_by_queue, queue);
    CHECK_EQ(kin_queue_get(queue, &pid, sizeof pid, KIN_FOREVER), (long)sizeof pid);
    CHECK_EQ(pid, kin_process_pid(process));
    CHECK_EQ(finish(process), 0);
    CHECK_OK(kin_queue_close(queue));
}

struct point {
    int x, y;
};

static int add_point(void *argument)
{
    struct point *point = argument;
    point->x += point->y; /* it is the child's */
    return point->x;
}

START_TEST(bytes_are_an_argument)
{
    struct point point = {30, 12};
    CHECK_EQ(finish(start_with(method, add_point, NULL,
                               (kin_process_options){.bytes = &point, .size = sizeof point})),
             42);
    CHECK_EQ(point.x, 30);
}

static int sum_bytes(void *argument)
{
    const unsigned char *bytes = argument;
    unsigned sum = 0;
    for (size_t i = 0; i < 3000000; i++) sum += bytes[i];
    return (int)(sum % 251);
}

START_TEST(large_bytes_are_an_argument)
{
    unsigned char *bytes = malloc(3000000);
    unsigned sum = 0;
    for (size_t i = 0; i < 3000000; i++) sum += bytes[i] = (unsigned char)(i * 7);
    CHECK_EQ(
        finish(start_with(method, sum_bytes, NULL, (kin_process_options){.bytes = bytes, .size = 3000000})),
        (int)(sum % 251));
    free(bytes);
}

static int read_value(void *argument)
{
    int64_t width = 0;
    CHECK_EQ(kin_value_len(argument), 2);
    CHECK_STR(kin_value_get_str(kin_value_at(argument, 0), NULL), "resize");
    CHECK_OK(kin_value_get_int(kin_value_at(kin_value_at(argument, 1), 0), &width));
    return width == 640 ? 6 : 7;
}

START_TEST(a_value_is_an_argument)
{
    kin_value value = kin_value_build("[s(ii)]", "resize", 640, 480);
    CHECK_EQ(finish(start_with(method, read_value, NULL, (kin_process_options){.value = &value})), 6);
    kin_value_clear(&value);
}

static int say(void *end)
{
    return kin_connection_send(end, "hello", 5, KIN_FOREVER);
}

START_TEST(a_connection_is_an_argument)
{
    kin_connection *here = NULL, *there = NULL;
    char text[16];
    CHECK_OK(kin_pipe_open(&here, &there, NULL));
    kin_process *process = start(method, say, there);
    CHECK_OK(kin_connection_close(there));
    CHECK_EQ(kin_connection_recv(here, text, sizeof text, KIN_FOREVER), 5);
    CHECK_MEM(text, "hello", 5);
    /* The child was the only other one. */
    CHECK_RC(kin_connection_recv(here, text, sizeof text, KIN_FOREVER), KIN_ECLOSED);
    CHECK_EQ(finish(process), 0);
    CHECK_OK(kin_connection_close(here));
}

static int pass_on(void *first)
{
    char text[16];
    kin_connection *from = kin_process_connection(0), *to = kin_process_connection(1);
    CHECK(first == from && to != NULL);
    CHECK(kin_process_connection(2) == NULL);
    CHECK_RC(kin_process_descriptor(1), -EINVAL);
    long size = kin_connection_recv(from, text, sizeof text, KIN_FOREVER);
    CHECK_EQ(write(kin_process_descriptor(0), text, (size_t)size), size);
    return kin_connection_send(to, text, (size_t)size, KIN_FOREVER);
}

START_TEST(connections_and_descriptors_are_given)
{
    kin_connection *in[2], *out[2];
    int ends[2];
    char text[16];
    CHECK_OK(kin_pipe_open(&in[0], &in[1], NULL));
    CHECK_OK(kin_pipe_open(&out[0], &out[1], NULL));
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    kin_process *process =
        start_with(method, pass_on, in[1],
                   (kin_process_options){.connections = (kin_connection *[]){in[1], out[1], NULL},
                                         .descriptors = &ends[1],
                                         .descriptor_count = 1});
    CHECK_OK(kin_connection_close(in[1]));
    CHECK_OK(kin_connection_close(out[1]));
    close(ends[1]);
    CHECK_OK(kin_connection_send(in[0], "word", 4, KIN_FOREVER));
    CHECK_EQ(kin_connection_recv(out[0], text, sizeof text, KIN_FOREVER), 4);
    CHECK_MEM(text, "word", 4);
    CHECK_EQ(read(ends[0], text, sizeof text), 4);
    CHECK_EQ(read(ends[0], text, sizeof text), 0);
    CHECK_EQ(finish(process), 0);
    close(ends[0]);
    CHECK_OK(kin_connection_close(in[0]));
    CHECK_OK(kin_connection_close(out[0]));
}

TEST(private_memory_is_refused_by_the_others)
{
    int number = 5;
    kin_process *process = NULL;
    for (enum kin_start_method method = KIN_SPAWN; method <= KIN_FORKSERVER; method++) {
        CHECK_RC(
            kin_process_start(&process, return_number, &number, &(kin_process_options){.method = method}),
            KIN_EPOINTER);
        CHECK(process == NULL);
    }
}

#define TWO_ARGUMENTS "there are two arguments of the pointer, bytes and value"

START_TEST(wrong_options_are_refused)
{
    kin_process *process = NULL;
    int closed[] = {1, 777}, open[300] = {0};
    kin_value value = kin_value_none();
    const char *long_name = "a name that is longer than a process can have, which is 63 bytes, as it says";
    const struct {
        kin_process_function *target;
        void *argument;
        kin_process_options options;
        int error;
        const char *words;
    } wrong[] = {
        {return_number, NULL, {.bytes = "x", .size = 1, .value = &value}, -EINVAL, TWO_ARGUMENTS},
        {return_number, (void *)1, {.bytes = "x", .size = 1}, -EINVAL, TWO_ARGUMENTS},
        {return_number, (void *)1, {.value = &value}, -EINVAL, TWO_ARGUMENTS},
        {return_number, NULL, {.size = 1}, -EINVAL, "bytes is NULL and size is 1"},
        {return_number,
         NULL,
         {.descriptor_count = 1},
         -EINVAL,
         "descriptors is NULL and descriptor_count is not 0"},
        {return_number,
         NULL,
         {.descriptors = closed, .descriptor_count = 2},
         -EBADF,
         "descriptor 777 is not open"},
        {return_number,
         NULL,
         {.target = "registered"},
         -EINVAL,
         "there are two targets: a function, and registered by its name"},
        {NULL, NULL, {0}, -EINVAL, "there is no target: neither a function nor the name of one"},
        {NULL, NULL, {.target = "nobody"}, KIN_EFUNCTION, "KIN_TARGET knows no function nobody"},
        {return_number, NULL, {.name = long_name}, -EINVAL, "name has 76 bytes, and 63 is the most"},
        {return_number,
         NULL,
         {.stderr_tail = (1 << 20) + 1},
         -EINVAL,
         "stderr_tail is 1048577, and 1048576 is the most"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kin_process_options options = wrong[i].options;
        options.method = method;
        test_context("options %zu", i);
        CHECK_RC(kin_process_start(&process, wrong[i].target, wrong[i].argument, &options), wrong[i].error);
        CHECK_STR(kin_process_error(), wrong[i].words);
        CHECK(process == NULL);
    }
    test_context(NULL);
    if (method == KIN_FORK) return;
    CHECK_RC(kin_process_start(
                 &process, return_number, NULL,
                 &(kin_process_options){.method = method, .descriptors = open, .descriptor_count = 300}),
             -E2BIG);
}

TEST(a_method_that_is_none_is_refused)
{
    kin_process *process = NULL;
    CHECK_RC(kin_process_start(&process, return_number, NULL,
                               &(kin_process_options){.method = (enum kin_start_method)99}),
             -EINVAL);
    CHECK_STR(kin_process_error(), "method is 99, which means nothing");
    CHECK_RC(kin_process_start(NULL, return_number, NULL, NULL), -EINVAL);
    CHECK_STR(kin_process_error(), "there is no place for the handle");
}

/* ---- functions ----------------------------------------------------------------------------------- */

static int registered(void *number)
{
    return 20 + (int)(intptr_t)number;
}
KIN_TARGET(registered)

START_TEST(a_function_is_found_by_its_name)
{
    kin_process *process = NULL;
    CHECK_EQ(finish(start_with(method, NULL, (void *)2, (kin_process_options){.target = "registered"})), 22);
    CHECK_RC(kin_process_start(&process, NULL, NULL,
                               &(kin_process_options){.target = "unregistered", .method = method}),
             KIN_EFUNCTION);
}

/* abs, of libc, is not quite a function for processes, but takes a word and returns an int. */
START_TEST(a_function_is_found_in_a_library)
{
    kin_process *process = NULL;
    CHECK_EQ(finish(start_with(method, NULL, (void *)11, (kin_process_options){.target = "libc.so.6:abs"})),
             11);
    CHECK_RC(kin_process_start(&process, NULL, NULL,
                               &(kin_process_options){.target = "libc.so.6:no_such_thing", .method = method}),
             KIN_EFUNCTION);
    const char *words = "cannot find the function libc.so.6:no_such_thing: ";
    CHECK_EQ(strncmp(kin_process_error(), words, strlen(words)), 0);
    CHECK(strstr(kin_process_error() + strlen(words), "undefined symbol") != NULL);
    CHECK_RC(kin_process_start(&process, NULL, NULL,
                               &(kin_process_options){.target = "no_such_library.so:abs", .method = method}),
             KIN_EFUNCTION);
}

START_TEST(what_is_no_code_is_refused)
{
    static int data;
    kin_process *process = NULL;
    CHECK_RC(kin_process_start(&process, (kin_process_function *)(uintptr_t)&data, NULL,
                               &(kin_process_options){.method = method}),
             KIN_ENOTCODE);
}

/* ---- a program that does not begin with kin_main --------------------------------------------------- */

TEST(without_kin_main_a_program_only_forks)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 40);
    CHECK_GT(length, 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/'), "/programs/without_main");
    kin_completed done;
    CHECK_OK(kin_subprocess_run(&done, KIN_COMMAND(path), &(kin_subprocess_options){.capture_output = true},
                                KIN_FOREVER));
    CHECK_STR(
        done.out,
        "4\n"
        "KIN_ENOTMAIN; cannot start child: the program's main does not begin with kin_main(&argc, &argv)\n"
        "KIN_ENOTMAIN; cannot start child: the program's main does not begin with kin_main(&argc, &argv)\n");
    CHECK_EQ(done.exit_code, 0);
    kin_completed_free(&done);
}
