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
#include "process/settle.h"

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

static void add_bytes(struct kin__order *order, struct kin__order_parts *parts, const void *bytes,
                      size_t size)
{
    order->bytes_size = size;
    parts->parts[1] = (struct kin__part){(void *)(uintptr_t)bytes, size};
}

static int describe_argument(struct kin__order *order, const struct kin__errand *errand,
                             struct kin__order_parts *parts)
{
    const kin_process_options *options = &errand->options;
    if (order->argument == KIN__ARGUMENT_CONNECTION) return 0;
    if (options->value != NULL) {
        kin_buffer buffer = {0};
        int rc = kin_pickle_dumps(options->value, &buffer);
        order->argument = KIN__ARGUMENT_VALUE;
        parts->pickle = buffer.data;
        add_bytes(order, parts, buffer.data, buffer.size);
        return rc;
    }
    if (options->bytes != NULL) {
        order->argument = KIN__ARGUMENT_BYTES;
        add_bytes(order, parts, options->bytes, options->size);
        return 0;
    }
    return describe_pointer(order, errand->argument);
}

/* Behind the bytes, where it is aligned. */
static int describe_placement(struct kin__order *order, const struct kin__placement *placement,
                              struct kin__order_parts *parts)
{
    static const char nothing[KIN__PACKED_ALIGNMENT];
    size_t at = sizeof *order + order->bytes_size, size;
    size_t gap = (KIN__PACKED_ALIGNMENT - at % KIN__PACKED_ALIGNMENT) % KIN__PACKED_ALIGNMENT;
    if (placement == NULL) return 0;
    int rc = kin__placement_pack(placement, &parts->placement, &size);
    if (rc < 0) return rc;
    order->placement_at = at + gap;
    parts->control_group = placement->setting.control_group;
    order->has_group = parts->control_group >= 0;
    parts->parts[2] = (struct kin__part){(void *)(uintptr_t)nothing, gap};
    parts->parts[3] = (struct kin__part){parts->placement, size};
    return 0;
}

void kin__order_begin(struct kin__order_parts *parts, struct kin__order *order)
{
    *parts =
        (struct kin__order_parts){.parts = {{order, sizeof *order}}, .stderr_end = -1, .control_group = -1};
    order->size = sizeof *order;
}

int kin__order_make(struct kin__order *order, const struct kin__errand *errand, const kin_process *child,
                    const struct kin__placement *placement, struct kin__order_parts *parts)
{
    const kin_process_options *options = &errand->options;
    kin__order_sign(order);
    kin__order_begin(parts, order);
    parts->stderr_end = child->stderr_end;
    order->has_target = true;
    order->daemon = child->daemon;
    order->standard_input = options->standard_input;
    memcpy(order->name, child->name, sizeof order->name);
    int rc = kin__os_place_of((const void *)(uintptr_t)errand->target, &order->target);
    if (rc == 0) rc = give_all(order, errand);
    if (rc == 0) rc = describe_argument(order, errand, parts);
    if (rc == 0) rc = describe_placement(order, placement, parts);
    for (int i = 1; i < KIN__ORDER_PARTS; i++) order->size += parts->parts[i].size;
    return rc;
}

void kin__order_free(struct kin__order_parts *parts)
{
    kin__os_free(parts->pickle);
    kin__os_free(parts->placement);
}

int kin__order_write(const struct kin__order_parts *parts)
{
    return kin__os_bytes_make("kin-order", parts->parts, KIN__ORDER_PARTS);
}

/* ---- in the child --------------------------------------------------------------------------------- */

bool kin__order_is_good(const void *bytes, size_t size)
{
    const struct kin__order *order = bytes;
    return size >= sizeof *order && order->magic == KIN__MAGIC_ORDER && order->size == size;
}

int kin__order_read(int descriptor, struct kin__order **order)
{
    void *mapped;
    size_t size;
    int rc = kin__os_bytes_map(descriptor, &mapped, &size);
    if (rc < 0) return rc;
    *order = mapped;
    return kin__order_is_good(mapped, size) ? 0 : -EBADF;
}

/* Both lists stay for as long as this process does. */
static int take_descriptors(const struct kin__order *order, const int *given, int **list)
{
    if (order->descriptor_count == 0) return 0;
    int rc = 0, *descriptors = *list = kin__os_malloc(order->descriptor_count * sizeof *descriptors);
    if (descriptors == NULL) return -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < order->descriptor_count; i++) {
        descriptors[i] = given[i];
        rc = kin__os_set_inherit(descriptors[i], false);
    }
    return rc;
}

static int take_connections(const struct kin__order *order, const int *given, kin_connection ***list)
{
    if (order->connection_count == 0) return 0;
    kin_connection **connections = *list = kin__os_malloc(order->connection_count * sizeof *connections);
    if (connections == NULL) return -ENOMEM;
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
    case KIN__ARGUMENT_WORD: return 0; /* the caller has it */
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

KIN__CHILD_CODE int kin__order_settle(struct kin__order *order, int control_group,
                                      struct kin__setting *setting)
{
    const char *const *environment;
    *setting = KIN__SETTING_NONE;
    if (order->placement_at == 0) return 0;
    int rc = kin__placement_unpack((char *)order + order->placement_at, setting, &environment);
    if (rc < 0) return rc;
    setting->control_group = order->has_group ? control_group : -1;
    return kin__settle(setting, environment);
}

KIN__CHILD_CODE int kin__order_unpack(struct kin__order *order, const int *given, const void *target,
                                      struct kin__work *work)
{
    kin_connection **connections = NULL;
    int *descriptors = NULL;
    /* Its place may have been taken in this process. */
    if (!kin__family_known()) return KIN_ENOREGION;
    int rc = take_connections(order, given, &connections);
    if (rc == 0) rc = take_descriptors(order, given + order->connection_count, &descriptors);
    if (rc == 0 && target == NULL) rc = kin__os_place_find(&order->target, &target);
    work->argument = (void *)(uintptr_t)order->word;
    /* Apart, for its table of jumps is on a page that most children would touch for nothing else. */
    if (rc == 0 && order->argument != KIN__ARGUMENT_WORD)
        rc = find_argument(order, connections, &work->argument);
    if (rc < 0) return rc;
    work->target = (kin_process_function *)(uintptr_t)target;
    kin__child_become(order->name, order->daemon, order->parent, order->parent_name);
    kin__child_given(connections, order->named_count, descriptors, order->descriptor_count);
    return 0;
}
