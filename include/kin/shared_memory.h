/* kin/shared_memory.h: named blocks of memory for programs that have nothing else in common: what
 * Python calls SharedMemory, by the same names and with the same bytes.
 *
 *     kin_shared_memory *block = NULL;                     kin_shared_memory *block = NULL;
 *     kin_shared_memory_create(&block, "frame", 4096,      kin_shared_memory_attach(&block, "frame");
 *                              NULL);                      draw(kin_shared_memory_data(block));
 *     fill(kin_shared_memory_data(block));                 kin_shared_memory_close(block);
 *     …                                                    >>> SharedMemory("frame").buf[0]     # Python
 *     kin_shared_memory_close(block);
 *
 * A block lives as long as a process of kin's uses it, and is gone when the last one has closed it,
 * has ended, or was killed.  (Within a family, kin_alloc and kin_array are simpler.) */
#ifndef KIN_SHARED_MEMORY_H
#define KIN_SHARED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/version.h>

KIN_BEGIN

/* A handle in the private memory of the process that opened it, and of children forked after
 * that: they use the block too, each until it closes its copy or ends. */
typedef struct kin_shared_memory kin_shared_memory;

typedef struct kin_shared_memory_options {
    bool keep; /* the block stays until it is unlinked, even if nobody uses it, as Python's do */
} kin_shared_memory_options;

/* kin_shared_memory_create makes a block of `size` zeroed bytes with the name `name`, or with a new
 * one if that is NULL, and stores a handle for it in `*block`.  All of it has memory behind it.
 * Forks a small process that removes the name when the last user is gone (unless options->keep).
 * Safe for threads.
 * Errors, after which nothing is left: -EEXIST (the name is taken), -EINVAL (NULL, size 0, or a
 * name that is empty, has a slash beyond the first character, or begins with a dot), -ENAMETOOLONG
 * (more than 254 bytes), -ENOSPC (/dev/shm is full), -ENOMEM, -EFBIG (RLIMIT_FSIZE), -EAGAIN
 * (RLIMIT_NPROC), -EMFILE, -ENFILE, -ENOENT (/dev/shm or /proc is not mounted), -EOPNOTSUPP (/dev/shm
 * is no tmpfs). */
KIN_API int kin_shared_memory_create_sized(kin_shared_memory **block, const char *name, size_t size,
                                           const kin_shared_memory_options *options, size_t options_size);
static inline int kin_shared_memory_create(kin_shared_memory **block, const char *name, size_t size,
                                           const kin_shared_memory_options *options)
{
    return kin_shared_memory_create_sized(block, name, size, options, sizeof(kin_shared_memory_options));
}

/* kin_shared_memory_attach opens the block of that name, whether kin or Python made it.
 * Does not wait.  Safe for threads.
 * Errors: -ENOENT (there is none), -EACCES (another user's), -EINVAL (NULL, a name that cannot be,
 * or what has it is no memory block), -ENAMETOOLONG, -ENOMEM, -EMFILE, -ENFILE. */
KIN_API int kin_shared_memory_attach(kin_shared_memory **block, const char *name);

/* kin_shared_memory_data returns the address of the block, which may differ from process to
 * process; kin_shared_memory_size its size in bytes, kin_shared_memory_name its name.  Both
 * pointers are valid until it is closed.  NULL or 0 for NULL.  Do not block. */
KIN_API void *kin_shared_memory_data(const kin_shared_memory *block);
KIN_API size_t kin_shared_memory_size(const kin_shared_memory *block);
KIN_API const char *kin_shared_memory_name(const kin_shared_memory *block);

/* kin_shared_memory_close ends the use of the block by this handle.  NULL is allowed.  Does not
 * wait.  Does not fail otherwise than by -errno of the system, after which it is closed all the same. */
KIN_API int kin_shared_memory_close(kin_shared_memory *block);

/* kin_shared_memory_unlink takes the block's name away at once; who uses the block keeps it.
 * Does not wait.
 * Errors: -ENOENT (it has none any more, or another block has it), -EINVAL (NULL). */
KIN_API int kin_shared_memory_unlink(kin_shared_memory *block);

KIN_END
#endif
