/* X03: every parameter of Python's Popen that means something on Linux. */
#include <stdio.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

/* Runs a command and prints what it wrote, one line for the parameter that is shown. */
static void show(const char *parameter, const char *const *command, kin_subprocess_options options)
{
    kin_completed done;
    if (options.stdout_to == KIN_INHERIT) options.stdout_to = KIN_PIPE;
    options.check = true;
    if (kin_subprocess_run(&done, command, &options, kin_in_s(30)) < 0) {
        fprintf(stderr, "%s: %s\n", parameter, kin_subprocess_error());
        exit(EXIT_FAILURE);
    }
    printf("%s: %s", parameter, done.out != NULL ? done.out : "nothing\n");
    kin_completed_free(&done);
}
#define SHOW(parameter, command, ...) show(parameter, command, (kin_subprocess_options){__VA_ARGS__})
#define SHELL(line)                   KIN_COMMAND("sh", "-c", line)
#define LIST(...)                     ((const char *const[]){__VA_ARGS__, NULL})

/* Runs in the new process, right before the program: only what is safe after a fork. */
static int announce(void *text)
{
    return write(STDOUT_FILENO, text, 7) == 7 ? 0 : -1;
}

static void text_lines(void)
{
    kin_subprocess *child = NULL;
    const char *line;
    kin_subprocess_options options = {.stdout_to = KIN_PIPE, .text = true};
    check(kin_subprocess_start(&child, KIN_COMMAND("printf", "one\\r\\ntwo\\rthree\\n"), &options));
    while (kin_subprocess_read_line(child, 1, &line, KIN_FOREVER) >= 0) printf("text line: %s\n", line);
    check(kin_subprocess_wait(child, KIN_FOREVER));
    check(kin_subprocess_close(child));
}

int main(void)
{
    int ends[2], pass;
    char line[64];

    SHOW("buffer_size", SHELL("head -c 100000 /dev/zero | wc -c"), .buffer_size = 1 << 18);
    SHOW("executable", KIN_COMMAND("my-name", "-c", "echo $0"), .executable = "sh");
    SHOW("stdin", KIN_COMMAND("cat"), .input = "typed\n", .input_size = 6);
    SHOW("stdin", SHELL("cat; echo at its end"), .stdin_from = KIN_DEVNULL);
    SHOW("stdout", KIN_COMMAND("echo", "unheard"), .stdout_to = KIN_DEVNULL);
    SHOW("stderr", SHELL("echo joined >&2"), .stderr_to = KIN_STDOUT);
    SHOW("preexec_fn", KIN_COMMAND("echo", "after"), .before_exec = announce,
         .before_exec_argument = "before,");

    if (pipe(ends) < 0) return EXIT_FAILURE;
    pass = ends[0];
    snprintf(line, sizeof line, "[ -e /dev/fd/%d ] && echo open || echo closed", pass);
    SHOW("close_fds", SHELL(line), .keep_fds = false);
    SHOW("pass_fds", SHELL(line), .pass_fds = &pass, .pass_fd_count = 1);
    SHOW("keep_fds", SHELL(line), .keep_fds = true);
    close(ends[0]);
    close(ends[1]);

    SHOW("shell", LIST("echo $((6 * 7))"), .shell = true);
    SHOW("cwd", KIN_COMMAND("pwd"), .cwd = "/usr");
    SHOW("env", KIN_COMMAND("/usr/bin/env"), .env = LIST("ONLY=this"));
    SHOW("env_changes", SHELL("echo $MORE"), .env_changes = LIST("MORE=added"));
    SHOW("umask", SHELL("umask"), .set_umask = true, .umask = 027);
    SHOW("start_new_session", SHELL("[ $(ps -o sid= -p $$) = $$ ] && echo leader"), .new_session = true);
    text_lines();
    return EXIT_SUCCESS;
}
