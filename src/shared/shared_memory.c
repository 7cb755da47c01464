/* shared_memory.c: named blocks of memory.  A handle is private; what is shared is the file, which
 * src/os/shared.h keeps. */
#include "shared/shared_memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"
#include "os/shared.h"

struct kin_shared_memory {
    int descriptor;
    void *data;
    size_t size;
    char path[KIN__SHARED_PATH_SIZE];
};

/* Python puts a slash before a name, and takes one that has it. */
static int check_name(const char **name)
{
    if (*name == NULL) return -EINVAL;
    if (**name == '/') ++*name;
    size_t length = strnlen(*name, KIN__SHARED_NAME_MOST + 1);
    if (length > KIN__SHARED_NAME_MOST) return -ENAMETOOLONG;
    return length == 0 || **name == '.' || strchr(*name, '/') != NULL ? -EINVAL : 0;
}

/* Takes the descriptor over: maps it, and closes it when that fails. */
static int make_handle(kin_shared_memory **block, int descriptor, uint64_t size, const char *path)
{
    int rc = size == 0 || size > SIZE_MAX ? -EINVAL : 0;
    kin_shared_memory *made = rc == 0 ? kin__os_calloc(1, sizeof *made) : NULL;
    if (rc == 0 && made == NULL) rc = -ENOMEM;
    if (rc == 0) rc = kin__os_shared_map(descriptor, size, &made->data);
    if (rc < 0) {
        kin__os_free(made);
        kin__os_shared_close(descriptor, path);
        return rc;
    }
    made->descriptor = descriptor;
    made->size = (size_t)size;
    memcpy(made->path, path, strlen(path) + 1);
    *block = made;
    return 0;
}

/* As Python makes names: "psm_" and eight digits. */
static int make_name(char name[16])
{
    uint32_t number = 0;
    int rc = kin__os_random(&number, sizeof number);
    snprintf(name, 16, "psm_%08x", number);
    return rc;
}

int kin__shared_memory_make(kin_shared_memory **block, const char *name, size_t size, bool keep)
{
    char path[KIN__SHARED_PATH_SIZE], own[16];
    if (size == 0) return -EINVAL;
    int rc = name != NULL ? check_name(&name) : make_name(own);
    if (rc < 0) return rc;
    kin__os_shared_sweep();
    kin__os_shared_path(path, name != NULL ? name : own);
    int descriptor = kin__os_shared_create(path, size, !keep);
    return descriptor < 0 ? descriptor : make_handle(block, descriptor, size, path);
}

int kin__shared_memory_publish(kin_shared_memory *block)
{
    /* CRASH: from here it has a name, and a guard that takes it away again. */
    int rc = kin__os_shared_publish(block->descriptor, block->path);
    if (rc < 0) kin_shared_memory_close(block);
    return rc;
}

int kin_shared_memory_create_sized(kin_shared_memory **block, const char *name, size_t size,
                                   const kin_shared_memory_options *options, size_t options_size)
{
    kin_shared_memory_options given = {0};
    kin_shared_memory *made = NULL;
    int rc;
    if (block == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, options_size < sizeof given ? options_size : sizeof given);
    do {
        rc = kin__shared_memory_make(&made, name, size, given.keep);
        if (rc == 0) rc = kin__shared_memory_publish(made);
    } while (rc == -EEXIST && name == NULL);
    if (rc == 0) *block = made;
    return rc;
}

int kin_shared_memory_attach(kin_shared_memory **block, const char *name)
{
    char path[KIN__SHARED_PATH_SIZE];
    uint64_t size = 0;
    int rc = block == NULL ? -EINVAL : check_name(&name);
    if (rc < 0) return rc;
    kin__os_shared_path(path, name);
    int descriptor = kin__os_shared_open(path, &size);
    return descriptor < 0 ? descriptor : make_handle(block, descriptor, size, path);
}

void *kin_shared_memory_data(const kin_shared_memory *block)
{
    return block != NULL ? block->data : NULL;
}

size_t kin_shared_memory_size(const kin_shared_memory *block)
{
    return block != NULL ? block->size : 0;
}

const char *kin_shared_memory_name(const kin_shared_memory *block)
{
    return block != NULL ? strrchr(block->path, '/') + 1 : NULL;
}

int kin_shared_memory_close(kin_shared_memory *block)
{
    if (block == NULL) return 0;
    kin__os_memory_unmap(block->data, block->size);
    int rc = kin__os_shared_close(block->descriptor, block->path);
    kin__os_free(block);
    return rc;
}

int kin_shared_memory_unlink(kin_shared_memory *block)
{
    return block == NULL ? -EINVAL : kin__os_shared_remove(block->descriptor, block->path);
}
