/* main.c: the tool `kin`. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/version.h>

#include "map.h"
#include "say.h"
#include "serve.h"
#include "top.h"
#include "worker.h"

static const char help[] = "Usage: kin COMMAND ...\n"
                           "\n"
                           "  map          run a command or a function for every input, on all processors\n"
                           "  serve        serve shared objects to programs in C and Python\n"
                           "  top          show what goes on in running programs: pools, queues, locks\n"
                           "  worker       run tasks for a pool in another program, on any machine\n"
                           "\n"
                           "  --help       print this; kin COMMAND --help: the help of a command\n"
                           "  --version    print the version\n"
                           "\n"
                           "See kin(1), kin-map(1), kin-serve(1), kin-top(1), kin-worker(1).\n";

static int print(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0) return 0;
    say("cannot write to standard output");
    return EXIT_OTHER;
}

static int (*find_command(const char *word))(int count, char **words)
{
    static const struct {
        const char *name;
        int (*main)(int count, char **words);
    } commands[] = {{"map", map_main}, {"serve", serve_main}, {"top", top_main}, {"worker", worker_main}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(word, commands[i].name) == 0) return commands[i].main;
    return NULL;
}

/* What is opened next must not pass for a standard stream that is closed: writing to it stays an error. */
static void fill_standard_streams(void)
{
    int descriptor = 0;
    while (descriptor >= 0 && descriptor <= STDERR_FILENO) descriptor = open("/dev/null", O_RDONLY);
    if (descriptor > STDERR_FILENO) close(descriptor);
}

int main(int count, char **words)
{
    fill_standard_streams();
    if (count < 2) {
        say("a command is missing, such as map; see kin --help");
        return EXIT_OTHER;
    }
    const char *word = words[1];
    int (*of_word)(int, char **) = find_command(word);
    if (of_word != NULL) return of_word(count - 1, words + 1);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return print("kin " KIN_VERSION "\n");
    bool help_of = strcmp(word, "help") == 0;
    of_word = help_of && count > 2 ? find_command(words[2]) : NULL;
    if (of_word != NULL) return of_word(2, (char *[]){words[2], (char[]){"--help"}, NULL});
    if (help_of || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return print(help);
    say("unknown %s %s; see kin --help", word[0] == '-' ? "option" : "command", word);
    return EXIT_OTHER;
}
