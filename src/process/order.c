/* order.c: see order.h. */
#include "process/order.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>
#include <kin/pickle.h>

#include "memory/region.h"
#include "os/handover.h"
#include "os/os.h"
#include "process/child.h"

/* ---- in the parent ------------------------------------------------------------------------------ */

void kin__order_sign(struct kin__order *order)
{
    memset(order, 0, sizeof *order);
    order->magic = KIN__MAGIC_ORDER;
    order->parent = kin__os_pid();
    order->method = kin_get_start_method();
    memcpy(order->parent_name, kin_process_current()->name, sizeof order->parent_name);
}

static int give_connection(struct kin__order *order, const kin_connection *connection)
{
    if (connection->secure != NULL) return KIN_EPRIVATE;
    if (connection->handle.withheld) return KIN_ENOTGIVEN;
    if (order->connection_count == KIN__GIVEN_MOST) return -E2BIG;
    uint32_t place = order->connection_count++;
    order->connections[place] = (struct kin__given_connection){connection->kind, connection->receives,
                                                               connection->sends, connection->local};
    order->given[place] = connection->handle.descriptor;
    return 0;
}

static int give_all(struct kin__order *order, const struct kin__errand *errand)
{
    const kin_process_options *options = &errand->options;
    kin_connection *const *connections = options->connections;
    int rc = 0;
    for (; rc == 0 && connections != NULL && *connections != NULL; connections++) {
        /* One that is the argument too is given once. */
        if (*connections == errand->argument) {
            order->argument = KIN__ARGUMENT_CONNECTION;
            order->word = order->connection_count;
        }
        rc = give_connection(order, *connections);
    }
    order->named_count = order->connection_count;
    if (rc == 0 && order->argument != KIN__ARGUMENT_CONNECTION &&
        kin__handle_is_connection(errand->argument)) {
        order->argument = KIN__ARGUMENT_CONNECTION;
        order->word = order->connection_count;
        rc = give_connection(order, errand->argument);
    }
    if (rc < 0) return rc;
    if (options->descriptor_count > KIN__GIVEN_MOST - order->connection_count) return -E2BIG;
    order->descriptor_count = (uint32_t)options->descriptor_count;
    for (size_t i = 0; i < options->descriptor_count; i++)
        order->given[order->connection_count + i] = options->descriptors[i];
    return 0;
}

static int describe_pointer(struct kin__order *order, const void *argument)
{
    order->argument = KIN__ARGUMENT_WORD;
    order->word = (uintptr_t)argument;
    if ((uintptr_t)argument < KIN__NUMBERS || kin__in_family(argument)) return 0;
    order->argument = KIN__ARGUMENT_CONSTANT;
    int rc = kin__os_place_of(argument, &order->constant);
    return rc == -ENOENT ? KIN_EPOINTER : rc;
}

int kin__order_make(struct kin__order *order, const struct kin__errand *errand, const kin_process *child,
                    const void **bytes, void **made)
{
    const kin_process_options *options = &errand->options;
    kin__order_sign(order);
    *bytes = *made = NULL;
    order->has_target = true;
    order->daemon = child->daemon;
    order->standard_input = options->standard_input;
    memcpy(order->name, child->name, sizeof order->name);
    int rc = kin__os_place_of((const void *)(uintptr_t)errand->target, &order->target);
    if (rc == 0) rc = give_all(order, errand);
    if (rc < 0 || order->argument == KIN__ARGUMENT_CONNECTION) return rc;
    if (options->value != NULL) {
        kin_buffer buffer = {0};
        rc = kin_pickle_dumps(options->value, &buffer);
        order->argument = KIN__ARGUMENT_VALUE;
        order->bytes_size = buffer.size;
        *bytes = *made = buffer.data;
        return rc;
    }
    if (options->bytes != NULL) {
        order->argument = KIN__ARGUMENT_BYTES;
        order->bytes_size = options->size;
        *bytes = options->bytes;
        return 0;
    }
    return describe_pointer(order, errand->argument);
}

int kin__order_write(struct kin__order *order, const void *bytes)
{
    order->size = sizeof *order + order->bytes_size;
    return kin__os_bytes_make("kin-order", order, sizeof *order, bytes, order->bytes_size);
}

/* ---- in the child --------------------------------------------------------------------------------- */

int kin__order_read(int descriptor, struct kin__order **order)
{
    void *mapped;
    size_t size;
    int rc = kin__os_bytes_map(descriptor, &mapped, &size);
    if (rc < 0) return rc;
    *order = mapped;
    if (size < sizeof **order || (*order)->magic != KIN__MAGIC_ORDER || (*order)->size != size) return -EBADF;
    return 0;
}

static int take_connections(const struct kin__order *order, const int *given, kin_connection **connections)
{
    for (uint32_t i = 0; i < order->connection_count; i++) {
        const struct kin__given_connection *told = &order->connections[i];
        int rc = kin__os_set_inherit(given[i], false);
        if (rc == 0) rc = kin__connection_make(&connections[i], told->kind, given[i], NULL);
        if (rc < 0) return rc;
        connections[i]->receives = told->receives;
        connections[i]->sends = told->sends;
        connections[i]->local = told->local;
    }
    return 0;
}

static int find_argument(struct kin__order *order, kin_connection *const *connections, void **argument)
{
    static kin_value value;
    const void *constant;
    int rc = 0;
    switch (order->argument) {
    case KIN__ARGUMENT_WORD: *argument = (void *)(uintptr_t)order->word; return 0;
    case KIN__ARGUMENT_CONNECTION: *argument = connections[order->word]; return 0;
    case KIN__ARGUMENT_BYTES: *argument = order + 1; return 0;
    case KIN__ARGUMENT_CONSTANT:
        rc = kin__os_place_find(&order->constant, &constant);
        *argument = (void *)(uintptr_t)constant;
        return rc;
    case KIN__ARGUMENT_VALUE:
        rc = kin_pickle_loads(&value, order + 1, order->bytes_size,
                              &(kin_pickle_options){.keep_unknown = true, .max_count = SIZE_MAX});
        *argument = &value;
        return rc;
    }
    return -EBADF;
}

int kin__order_unpack(struct kin__order *order, const int *given, struct kin__work *work)
{
    static kin_connection *connections[KIN__GIVEN_MOST + 1];
    static int descriptors[KIN__GIVEN_MOST];
    const void *target;
    /* Its place may have been taken in this process. */
    if (kin__family.header == NULL) return KIN_ENOREGION;
    int rc = take_connections(order, given, connections);
    for (uint32_t i = 0; rc == 0 && i < order->descriptor_count; i++) {
        descriptors[i] = given[order->connection_count + i];
        rc = kin__os_set_inherit(descriptors[i], false);
    }
    if (rc == 0) rc = kin__os_place_find(&order->target, &target);
    if (rc == 0) rc = find_argument(order, connections, &work->argument);
    if (rc < 0) return rc;
    work->target = (kin_process_function *)(uintptr_t)target;
    kin__child_become(order->name, order->daemon, order->parent, order->parent_name);
    kin__child_given(connections, order->named_count, descriptors, order->descriptor_count);
    return 0;
}
