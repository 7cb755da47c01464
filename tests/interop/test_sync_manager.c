/* test_sync_manager.c: unmodified Python programs use every type of a manager of kin's, over TCP and
 * over a Unix socket, in every version of Python that there is.
 */
#include "program.h"

#include <errno.h>

#include <kin/container.h>
#include <kin/manager.h>
#include <kin/object.h>

#define PYTHONS 16

static int power(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    const kin_value *given = kin_value_at(arguments, 1);
    int64_t base = 0, exponent = 2, product = 1;
    if (given == NULL) given = kin_value_dict_get_str(keywords, "exponent");
    CHECK_OK(kin_value_get_int(kin_value_at(arguments, 0), &base));
    if (given != NULL) CHECK_OK(kin_value_get_int(given, &exponent));
    for (int64_t i = 0; i < exponent; i++) product *= base;
    *result = kin_value_int(product);
    return 0;
}

static int fail(const kin_value *arguments, const kin_value *keywords, kin_value *result)
{
    char text[32];
    (void)keywords;
    kin_value_text(kin_value_at(arguments, 0), text, sizeof text);
    *result = kin_value_errorf("ValueError", "no %s", text);
    return -EINVAL;
}

static const kin_manager_task tasks[] = {{"square", power}, {"power", power}, {"fail", fail}};

static kin_manager *start(const char *address)
{
    kin_manager *manager = NULL;
    CHECK_OK(kin_manager_start(
        &manager, &(kin_manager_options){
                      .address = address, .key = "abc", .key_size = 3, .tasks = tasks, .task_count = 3}));
    return manager;
}

static void expect_well(struct program *program)
{
    const char *line;
    char last[1024] = "";
    while ((line = program_line(program)) != NULL) snprintf(last, sizeof last, "%s", line);
    CHECK_STR(last, "all is well");
    program_end(program);
}

TEST(python_programs_over_tcp)
{
    const char *pythons[PYTHONS];
    struct program programs[PYTHONS];
    char port[8];
    size_t count = program_pythons(pythons, PYTHONS);
    if (count == 0) SKIP("there is no python3");
    kin_manager *manager = start("tcp://127.0.0.1:0");
    CHECK_EQ(sscanf(kin_manager_address(manager), "tcp://127.0.0.1:%7s", port), 1);
    /* Two at a time, so that they disturb each other. */
    for (size_t i = 0; i < count; i += 2) {
        for (size_t k = i; k < i + 2 && k < count; k++)
            programs[k] =
                program_run(pythons[k], test_source("tests/interop/sync_manager.py"), "127.0.0.1", port);
        for (size_t k = i; k < i + 2 && k < count; k++) {
            test_context("with %s", pythons[k]);
            expect_well(&programs[k]);
        }
    }
    CHECK_OK(kin_manager_close(manager));
}

TEST(a_python_program_over_a_unix_socket)
{
    const char *pythons[PYTHONS];
    char address[PATH_MAX];
    if (program_pythons(pythons, PYTHONS) == 0) SKIP("there is no python3");
    snprintf(address, sizeof address, "unix:%s/manager.sock", test_directory());
    kin_manager *manager = start(address);
    struct program program =
        program_run(pythons[0], test_source("tests/interop/sync_manager.py"), address + strlen("unix:"));
    expect_well(&program);
    CHECK_OK(kin_manager_close(manager));
}

/* What the checks are measured by. */
TEST(pythons_own_manager_passes_the_same_checks)
{
    const char *pythons[PYTHONS];
    if (program_pythons(pythons, PYTHONS) == 0) SKIP("there is no python3");
    struct program program = program_run(pythons[0], test_source("tests/interop/sync_manager.py"));
    expect_well(&program);
}

/* Every class of what is raised, with every version; the words too where they are those of this version. */
TEST(what_goes_wrong_is_raised_as_python_raises_it)
{
    const char *pythons[PYTHONS];
    char port[8], limit[16];
    size_t count = program_pythons(pythons, PYTHONS);
    if (count == 0) SKIP("there is no python3");
    kin_manager *manager = start("tcp://127.0.0.1:0");
    CHECK_EQ(sscanf(kin_manager_address(manager), "tcp://127.0.0.1:%7s", port), 1);
    snprintf(limit, sizeof limit, "%.0f", 5 * test_time_scale());
    for (size_t i = 0; i < count; i++) {
        test_context("with %s", pythons[i]);
        struct program program =
            program_run(pythons[i], test_source("tests/interop/manager_errors.py"), "127.0.0.1", port, limit);
        expect_well(&program);
    }
    CHECK_OK(kin_manager_close(manager));
}
