/* M06: a shareable list: another process opens it by its name, as Python could, and changes an item. */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

static const char *name; /* of the list */

static void show(const char *who, const kin_shareable_list *list)
{
    kin_shareable_item text, number, flag;
    char buffer[32];
    check(kin_shareable_list_get(list, 0, &text, buffer, sizeof buffer));
    check(kin_shareable_list_get(list, 1, &number, NULL, 0));
    check(kin_shareable_list_get(list, 2, &flag, NULL, 0));
    printf("%s: %s, %ld, %s\n", who, buffer, (long)number.integer, flag.boolean ? "true" : "false");
    fflush(stdout);
}

static int change(void *unused)
{
    (void)unused;
    kin_shareable_list *list = NULL;
    check(kin_shareable_list_attach(&list, name));
    show("child", list);
    kin_shareable_item larger = {.type = KIN_SHAREABLE_INT, .integer = 43};
    check(kin_shareable_list_set(list, 1, &larger));
    check(kin_shareable_list_close(list));
    return 0;
}

int main(void)
{
    kin_shareable_list *list = NULL;
    kin_process *child = NULL;
    const kin_shareable_item items[] = {
        {.type = KIN_SHAREABLE_STR, .bytes = "größe", .size = strlen("größe")},
        {.type = KIN_SHAREABLE_INT, .integer = 42},
        {.type = KIN_SHAREABLE_BOOL, .boolean = true},
    };
    check(kin_shareable_list_create(&list, NULL, items, 3));
    name = kin_shared_memory_name(kin_shareable_list_memory(list));
    check(kin_process_start(&child, change, NULL, NULL));
    check(kin_process_join(child, KIN_FOREVER));
    check(kin_process_close(child));
    show("parent", list);

    const kin_shareable_item bad = {.type = KIN_SHAREABLE_BYTES, .bytes = "ends\0", .size = 5};
    printf("bytes that Python would cut: %s\n", kin_strerror(kin_shareable_list_set(list, 0, &bad)));

    check(kin_shared_memory_unlink(kin_shareable_list_memory(list)));
    check(kin_shareable_list_close(list));
    return EXIT_SUCCESS;
}
