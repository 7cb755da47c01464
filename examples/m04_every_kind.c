/* M04: a manager holds any kind of object, and serves it to whoever knows its address and key: here a
 * second program's part is played by a child that connects as if it were on another machine. */
#include <stdio.h>
#include <stdlib.h>

#include <kin.h>

#include "check.h"

struct place {
    const char *address;
    const void *key;
    size_t key_size;
};

/* Calls a method and prints what it returned. */
static void show(const char *type, kin_proxy *object, const char *method, kin_value arguments)
{
    kin_value result;
    char text[128];
    check(kin_proxy_call(object, method, arguments, &result, kin_in_s(5)));
    check(kin_value_repr(&result, text, sizeof text));
    printf("%s: %s gives %s\n", type, method, text);
    kin_value_clear(&result);
}

static kin_proxy *make(kin_manager *manager, const char *type, kin_value arguments)
{
    kin_proxy *object = NULL;
    check(kin_manager_create(manager, &object, type, arguments, kin_in_s(5)));
    return object;
}

static void use_all(kin_manager *manager)
{
    kin_proxy *object = make(manager, "list", kin_value_build("([iii])", 3, 1, 2));
    check(kin_proxy_call(object, "sort", kin_value_none(), NULL, kin_in_s(5)));
    show("list", object, "copy", kin_value_none());
    check(kin_proxy_close(object));
    object = make(manager, "dict", kin_value_build("{s:i}", "Ada", 36));
    show("dict", object, "get", kin_value_build("(s)", "Ada"));
    check(kin_proxy_close(object));
    object = make(manager, "Queue", kin_value_none());
    check(kin_proxy_put(object, kin_value_str("hello"), kin_in_s(5)));
    show("Queue", object, "get", kin_value_none());
    check(kin_proxy_close(object));
    object = make(manager, "Value", kin_value_build("(sd)", "d", 0.5));
    show("Value", object, "get", kin_value_none());
    check(kin_proxy_close(object));
    object = make(manager, "Array", kin_value_build("(s[iii])", "i", 1, 2, 3));
    show("Array", object, "__getitem__", kin_value_build("(i)", -1));
    check(kin_proxy_close(object));
    object = make(manager, "Namespace", kin_value_build("{s:i}", "x", 1));
    show("Namespace", object, "__getattribute__", kin_value_build("(s)", "x"));
    check(kin_proxy_close(object));
    static const char *const locks[] = {"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"};
    for (int i = 0; i < 5; i++) {
        object = make(manager, locks[i], kin_value_none());
        show(locks[i], object, "acquire", kin_value_none());
        check(kin_proxy_release(object));
        check(kin_proxy_close(object));
    }
    object = make(manager, "Event", kin_value_none());
    show("Event", object, "is_set", kin_value_none());
    check(kin_proxy_close(object));
    object = make(manager, "Barrier", kin_value_build("(i)", 1));
    show("Barrier", object, "wait", kin_value_none());
    check(kin_proxy_close(object));
}

static int other_machine(void *of_place)
{
    struct place *place = of_place;
    kin_manager *manager = NULL;
    check(kin_manager_connect(&manager, place->address, place->key, place->key_size, kin_in_s(5)));
    use_all(manager);
    check(kin_manager_close(manager));
    return EXIT_SUCCESS;
}

int main(void)
{
    kin_manager *manager = NULL;
    kin_process *process = NULL;
    struct place place;
    int code;
    check(kin_manager_start(&manager, &(kin_manager_options){.address = "tcp://127.0.0.1:0"}));
    place.address = kin_manager_address(manager);
    place.key = kin_manager_key(manager, &place.key_size);
    check(kin_process_start(&process, other_machine, &place, NULL));
    check(kin_process_join(process, KIN_FOREVER));
    check(kin_process_exit_code(process, &code));
    check(kin_process_close(process));
    check(kin_manager_close(manager));
    return code;
}
