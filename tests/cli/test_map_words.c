/* test_map_words.c: from inputs and {} forms to commands. */
#define _GNU_SOURCE
#include "cli/tool.h"

TEST(input_is_the_last_word)
{
    struct ran ran = MAP("", "-k", "echo", "x", ":::", "a", "b c", "");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "x a\nx b c\nx \n");
    CHECK_STR(ran.err, "");
}

TEST(forms)
{
    struct ran ran = MAP("", "-k", "-j1", "echo", "[{}] [{.}] [{/}] [{//}] [{/.}] [{#}] [{%}]",
                         ":::", "a/b.c.d", "x", "/r", ".rc");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "[a/b.c.d] [a/b.c] [b.c.d] [a] [b.c] [1] [1]\n"
                       "[x] [x] [x] [.] [x] [2] [1]\n"
                       "[/r] [/r] [r] [/] [r] [3] [1]\n"
                       "[.rc] [] [.rc] [.] [] [4] [1]\n");
}

TEST(forms_with_a_position)
{
    struct ran ran = MAP("a.b\nc/d\ne\n", "-k", "-n2", "echo", "{2}-{1.}-{2/}-{3}", "{x}", "{0}");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "c/d-a-d- {x} {0}\n-e-- {x} {0}\n");
}

TEST(several_inputs_are_several_words)
{
    struct ran ran = MAP("1\n2\n3\n", "-k", "-n", "2", "printf", "<%s>", "{}", "a{}");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "<1><2><a1 2><3><a3>");
}

TEST(another_text_for_the_input)
{
    struct ran ran = MAP("", "-I", "@", "echo", "{}", "@!", ":::", "a");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "{} a!\n");
}

TEST(sources_are_combined)
{
    struct ran ran = MAP("", "-k", "echo", "{2}{1}", ":::", "a", "b", ":::", "1", "2", "3");
    CHECK_STR(ran.out, "1a\n2a\n3a\n1b\n2b\n3b\n");
    ran = MAP("", "-k", "--link", "echo", ":::", "a", "b", "c", ":::", "1", "2");
    CHECK_STR(ran.out, "a 1\nb 2\nc 1\n");
    ran = MAP("", "-k", "echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y");
    CHECK_STR(ran.out, "a 1 x\na 1 y\nb 2 x\nb 2 y\n");
    ran = MAP("", "-k", "echo", ":::", "a", "b", ":::", "x", "y", ":::+", "1", "2");
    CHECK_STR(ran.out, "a x 1\na y 2\nb x 1\nb y 2\n");
    ran = MAP("", "-k", "echo", ":::", "a", ":::");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "");
}

TEST(no_shell_unless_it_is_needed)
{
    struct ran ran = MAP("", "echo", "$HOME;", "{}", "|", "cat", ":::", "a b");
    CHECK_STR(ran.out, "$HOME; a b | cat\n");
    ran = MAP("", "-k", "echo {} | tr a-z A-Z", ":::", "a  b", "it's", "$(x)");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "A  B\nIT'S\n$(X)\n");
    ran = MAP("", "--shell", "echo", "1;", "echo", "{}", ":::", "a;b");
    CHECK_STR(ran.out, "1\na;b\n");
}

TEST(without_a_command_inputs_are_commands)
{
    struct ran ran = MAP("echo $((1 + 2))\nexit 3\n", "-k");
    CHECK_EQ(ran.code, 1);
    CHECK_STR(ran.out, "3\n");
}

TEST(dry_run_prints_what_would_run)
{
    struct ran ran = MAP("", "--dry-run", "rm", "{}", "{.}.o", "", ":::", "a b.c", "d");
    CHECK_EQ(ran.code, 0);
    CHECK_STR(ran.out, "rm 'a b.c' 'a b.o' ''\nrm d d.o ''\n");
}

TEST(a_script_without_interpreter_is_for_the_shell)
{
    tool_write_file("script", "echo script $1\n");
    CHECK_EQ(chmod("script", 0700), 0);
    struct ran ran = MAP("", "./script", ":::", "a");
    CHECK_STR(ran.out, "script a\n");
    CHECK_EQ(unlink("script"), 0);
}

TEST(jobs_run_where_they_are_told)
{
    struct ran ran = MAP("", "--workdir", "/", "pwd", "-P", ":::", "-P");
    CHECK_STR(ran.out, "/\n");
    ran = MAP("", "--workdir", "nowhere", "true", ":::", "a");
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.err, "kin map: cannot enter nowhere: no such file or directory\n");
}

/* ---- the command line itself ------------------------------------------------------------------- */

static void check_refused(struct ran ran, const char *message)
{
    CHECK_EQ(ran.code, 255);
    CHECK_STR(ran.out, "");
    CHECK_STR(ran.err, message);
}

TEST(usage_errors)
{
    check_refused(MAP("", "--foo", "echo"), "kin map: unknown option --foo; see kin map --help\n");
    check_refused(MAP("", "-x", "echo"), "kin map: unknown option -x; see kin map --help\n");
    check_refused(MAP("", "--jobs"), "kin map: option --jobs needs a value; see kin map --help\n");
    check_refused(MAP("", "-j"), "kin map: option -j needs a value; see kin map --help\n");
    check_refused(MAP("", "--null=1", "echo"),
                  "kin map: option --null=1 takes no value; see kin map --help\n");
    check_refused(MAP("", "-j", "two", "echo"),
                  "kin map: --jobs: \"two\" is not a number of jobs; see kin map --help\n");
    check_refused(MAP("", "--timeout", "1y", "echo"),
                  "kin map: --timeout: \"1y\" is not a time such as 10s; see kin map --help\n");
    check_refused(MAP("", "-d", "ab", "echo"),
                  "kin map: --delimiter: \"ab\" is not one character; see kin map --help\n");
    check_refused(MAP("", "--halt", "later", "echo"),
                  "kin map: --halt: \"later\" is not a condition such as soon,fail=1; see kin map --help\n");
    check_refused(MAP("", "-u", "-k", "echo"), "kin map: --ungroup cannot be combined with --keep-order\n");
    check_refused(MAP("", "-a", "-", "echo", "::::", "-"),
                  "kin map: standard input can be only one of the sources\n");
    check_refused(MAP("", "echo", "::::"), "kin map: :::: needs the name of a file; see kin map --help\n");
    check_refused(KIN("mop"), "kin: unknown command mop; see kin --help\n");
    check_refused(KIN("--mop"), "kin: unknown option --mop; see kin --help\n");
    check_refused(tool_run("", 0, (const char *const[]){NULL}),
                  "kin: a command is missing, such as map; see kin --help\n");
}

TEST(help_and_version)
{
    struct ran ran = KIN("--help");
    CHECK_EQ(ran.code, 0);
    CHECK(strstr(ran.out, "kin COMMAND") != NULL);
    ran = KIN("--version");
    CHECK_EQ(ran.code, 0);
    CHECK_EQ(strncmp(ran.out, "kin 0.", 6), 0);
    ran = MAP("", "--help");
    CHECK_EQ(ran.code, 0);
    CHECK(strstr(ran.out, "--keep-order") != NULL);
    struct ran same = KIN("help", "map");
    CHECK_STR(same.out, ran.out);
}
