/* test_support_faults.c: the fault loop, on constructors that are right and on some that are not. */
#define _GNU_SOURCE
#include "support/faults.h"
#include "support/test.h"

#include <unistd.h>

struct thing {
    void *memory;
    int event;
    unsigned made, unmade;
};

static struct thing thing;

static int make_well(void *context)
{
    struct thing *made = context;
    void *memory = kin__os_malloc(100);
    if (!memory) return -ENOMEM;
    int event = kin__os_event_make();
    if (event < 0) {
        kin__os_free(memory);
        return event;
    }
    made->memory = memory;
    made->event = event;
    made->made++;
    return 0;
}

static int unmake(void *context)
{
    struct thing *made = context;
    kin__os_free(made->memory);
    made->unmade++;
    return kin__os_close(made->event);
}

TEST(a_good_constructor_passes)
{
    struct faults_report report =
        faults(&(struct faults){.make = make_well, .unmake = unmake, .context = &thing});
    CHECK_EQ(report.failures, 4); /* memory and descriptor, alone and with all after it */
    CHECK_EQ(report.injected, report.failures + report.survived);
    CHECK_EQ(thing.made, thing.unmade);
}

TEST(kinds_can_be_chosen)
{
    struct faults_report report = faults(&(struct faults){
        .make = make_well, .unmake = unmake, .context = &thing, .kinds = 1u << KIN__FAULT_DESCRIPTOR});
    CHECK_EQ(report.failures, 2);
}

/* Opens two, and forgets the first when the second fails. */
static int make_and_leak(void *context)
{
    struct thing *made = context;
    int first = kin__os_event_make();
    if (first < 0) return first;
    int second = kin__os_event_make();
    if (second < 0) return second;
    made->memory = NULL;
    made->event = first;
    return kin__os_close(second);
}

TEST(a_leaked_descriptor_is_found)
{
    if (!test_inner()) {
        test_expect_failure("a_leaked_descriptor_is_found", "anon_inode:[eventfd]");
    } else {
        faults(&(struct faults){.make = make_and_leak, .unmake = unmake, .context = &thing});
    }
}

static int make_and_misname(void *context)
{
    int code = make_well(context);
    return code < 0 ? -EINVAL : code;
}

TEST(a_wrong_error_is_found)
{
    if (!test_inner()) {
        test_expect_failure("a_wrong_error_is_found", "EINVAL");
    } else {
        faults(&(struct faults){.make = make_and_misname, .unmake = unmake, .context = &thing});
    }
}

static bool accept_invalid(void *context, enum kin__fault kind, int code)
{
    (void)context;
    return code == -EINVAL && kind != KIN__FAULT_FORK;
}

TEST(other_errors_can_be_accepted)
{
    struct faults_report report = faults(&(struct faults){
        .make = make_and_misname, .unmake = unmake, .accepts = accept_invalid, .context = &thing});
    CHECK_EQ(report.failures, 4);
}
