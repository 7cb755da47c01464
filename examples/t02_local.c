/* T02: thread-local data: under the same name each thread finds a value of its own. */
#include <kin.h>

#include "check.h"

static kin_local *student;

static void hello(void)
{
    const char *name = kin_local_get(student);
    printf("hello, %s (in %s)\n", name != NULL ? name : "nobody", kin_thread_name(kin_thread_current()));
}

static int process_student(void *name)
{
    check(kin_local_set(student, name));
    hello(); /* which takes no argument */
    return 0;
}

int main(void)
{
    static char alice[] = "Alice", bob[] = "Bob";
    kin_thread *a = NULL, *b = NULL;
    check(kin_local_open(&student, NULL));
    check(kin_thread_start(&a, process_student, alice, &(kin_thread_options){.name = "Thread-A"}));
    check(kin_thread_start(&b, process_student, bob, &(kin_thread_options){.name = "Thread-B"}));
    check(kin_thread_join(a, KIN_FOREVER));
    check(kin_thread_join(b, KIN_FOREVER));
    hello();
    check(kin_thread_close(a));
    check(kin_thread_close(b));
    check(kin_local_close(student));
    return EXIT_SUCCESS;
}
