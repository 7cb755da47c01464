/* array.c: opening and closing arrays, what can be read about them, copies of several items.
 *
 * Invariants:
 *  - Items have memory behind them from the first to the last byte of the array.
 *  - An array is closed as one step: whoever became its `closer` frees what it holds, or, if
 *    that thread dies, the reaper does; before the magic says CLOSED nothing has been freed.
 */
#include "shared/array.h"

#include <errno.h>
#include <string.h>

#include <kin/error.h>

#include "memory/reap.h"
#include "os/os.h"

#define MAGIC_OPENING 0x79617272616b6b02ull

/* ---- opening ------------------------------------------------------------------------------- */

static uint64_t lock_magic(kin_lock *lock)
{
    uint64_t magic;
    kin__lock_mutex(lock, &magic);
    return magic;
}

static int check_shape(char code, size_t length, const kin_array_options *options, uint64_t *item_size)
{
    struct kin__number_type type = kin__number_type(code);
    *item_size = code == 0 ? options->item_size : type.size;
    if (*item_size == 0 || length == 0) return -EINVAL;
    if (code != 0 && options->item_size != 0 && options->item_size != *item_size) return -EINVAL;
    if (options->no_lock && options->lock != NULL) return -EINVAL;
    return 0;
}

static int fill(kin_array *array, const kin_array_options *options)
{
    int rc = 0;
    uint64_t size = 0;
    if (__builtin_mul_overflow(array->length, array->item_size, &size)) return -ENOMEM;
    void *data = kin__allocate(size, &rc);
    if (data == NULL) return rc;
    /* CRASH: from here the reaper finds it in the array, and the array in our table. */
    kin__allocate_publish(&array->data);
    if (options->huge_pages) kin__os_memory_make_huge(data, size);
    if (options->initial != NULL)
        memcpy(data, options->initial, size);
    else
        memset(data, 0, size);
    return 0;
}

/* `destination` is what made us the one to do this: a stale one would name the next array here. */
static void destroy(kin_array *array, _Atomic(void *) *destination)
{
    void *data = atomic_load(&array->data);
    if (data != NULL) kin__free(data, &array->data);
    kin__free(array, destination);
}

static int open_array(kin_array **array, char code, uint64_t length, uint64_t item_size,
                      const kin_array_options *options)
{
    uint32_t held = 0;
    int rc = 0;
    kin_array *made = kin__allocate_object(KIN__OBJECT_ARRAY, sizeof *made, &rc);
    if (made == NULL) return rc;
    rc = kin__held_claim(&held);
    if (rc < 0) {
        kin__allocate_cancel();
        return rc;
    }
    made->code = code;
    made->type = kin__number_type(code);
    made->item_size = item_size;
    made->length = length;
    made->lock = options->lock;
    made->opener = kin__self.process_identity;
    atomic_store(&made->data, NULL);
    atomic_store(&made->closer, NULL);
    if (options->lock == NULL && !options->no_lock) {
        made->lock = (kin_lock *)&made->own;
        kin__mutex_init(&made->own, (struct kin__mutex_plan){0}, lock_magic(made->lock));
    }
    /* CRASH: until it is open it is held like a message; the reaper destroys it. */
    __atomic_store_n(&made->magic, MAGIC_OPENING, __ATOMIC_RELEASE);
    kin__allocate_publish(&kin__self.process->held[held]);
    rc = fill(made, options);
    if (rc < 0) {
        destroy(made, &kin__self.process->held[held]);
        return rc;
    }
    *array = made;
    __atomic_store_n(&made->magic, KIN__MAGIC_ARRAY, __ATOMIC_RELEASE);
    atomic_store(&kin__self.process->held[held], NULL);
    return 0;
}

int kin_array_open_sized(kin_array **array, char code, size_t length, const kin_array_options *options,
                         size_t size)
{
    kin_array_options given = {0};
    uint64_t item_size = 0;
    if (array == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    int rc = check_shape(code, length, &given, &item_size);
    if (rc == 0) rc = kin__enter();
    if (rc == 0 && given.lock != NULL) rc = kin__mutex_check(given.lock, lock_magic(given.lock));
    return rc < 0 ? rc : open_array(array, code, length, item_size, &given);
}

/* ---- closing --------------------------------------------------------------------------------- */

static bool has_own_lock(const kin_array *array)
{
    return array->lock == (kin_lock *)&array->own;
}

int kin_array_close(kin_array *array)
{
    struct kin__member *nobody = NULL;
    if (array == NULL) return 0;
    int rc = kin__array_enter(array);
    if (rc < 0) return rc;
    void *outer = kin__touch(array);
    /* CRASH: from here the reaper goes on where we died, or undoes it (announce). */
    if (!atomic_compare_exchange_strong(&array->closer, &nobody, kin__self.member)) {
        rc = KIN_ECLOSED;
    } else if (has_own_lock(array) && kin__mutex_shut(&array->own, lock_magic(array->lock)) < 0) {
        atomic_store(&array->closer, NULL);
        rc = -EBUSY;
    } else {
        __atomic_store_n(&array->magic, KIN__MAGIC_CLOSED, __ATOMIC_SEQ_CST);
        destroy(array, &kin__self.member->touching);
    }
    kin__untouch(outer);
    return rc;
}

static void announce(void *object, struct kin__member *dead)
{
    kin_array *array = object;
    if (atomic_load(&array->closer) != dead) return;
    if (__atomic_load_n(&array->magic, __ATOMIC_ACQUIRE) == KIN__MAGIC_CLOSED) {
        destroy(array, &dead->touching);
        return;
    }
    /* The lock was refused to everybody, or about to be; nobody can have taken it since. */
    if (has_own_lock(array))
        __atomic_store_n(&array->own.robust.magic, lock_magic(array->lock), __ATOMIC_SEQ_CST);
    atomic_store(&array->closer, NULL);
}

/* An array that was being opened. */
static bool settle(void *object, _Atomic(void *) *entry, uint64_t identity)
{
    kin_array *array = object;
    uint64_t magic = __atomic_load_n(&array->magic, __ATOMIC_ACQUIRE);
    if (array->opener == identity && magic == MAGIC_OPENING) destroy(array, entry);
    return true;
}

__attribute__((constructor)) static void register_hooks(void)
{
    kin__reap_hooks[KIN__OBJECT_ARRAY] = (struct kin__reap_hooks){.announce = announce, .held = settle};
}

/* ---- what can be read about it ------------------------------------------------------------------- */

void *kin_array_data(kin_array *array)
{
    return kin__array_enter(array) < 0 ? NULL : atomic_load_explicit(&array->data, memory_order_relaxed);
}

kin_lock *kin_array_lock(kin_array *array)
{
    return kin__array_enter(array) < 0 ? NULL : array->lock;
}

long kin_array_length(kin_array *array)
{
    int rc = kin__array_enter(array);
    return rc < 0 ? rc : (long)array->length;
}

int kin_array_typecode(kin_array *array)
{
    int rc = kin__array_enter(array);
    return rc < 0 ? rc : array->code;
}

/* ---- several items at once --------------------------------------------------------------------------- */

/* Checks the range and takes the lock unless it is ours; `*release` says whether to give it back. */
static int begin(kin_array *array, size_t first, size_t count, const void *items, kin_deadline deadline,
                 bool *release)
{
    int rc = kin__array_enter(array);
    *release = false;
    if (rc < 0) return rc;
    if (items == NULL && count > 0) return -EINVAL;
    if (first > array->length || count > array->length - first) return KIN_EINDEX;
    uint64_t magic;
    if (array->lock == NULL || kin__mutex_held_by_me(kin__lock_mutex(array->lock, &magic))) return 0;
    rc = kin_lock_acquire(array->lock, deadline);
    *release = rc >= 0;
    return rc;
}

static void *item_at(kin_array *array, size_t index)
{
    return (char *)atomic_load_explicit(&array->data, memory_order_relaxed) + index * array->item_size;
}

int kin_array_read(kin_array *array, size_t first, size_t count, void *items, kin_deadline deadline)
{
    bool release;
    int rc = begin(array, first, count, items, deadline, &release);
    if (rc >= 0 && count > 0) memcpy(items, item_at(array, first), count * array->item_size);
    if (release) kin_lock_release(array->lock);
    return rc;
}

int kin_array_write(kin_array *array, size_t first, size_t count, const void *items, kin_deadline deadline)
{
    bool release;
    int rc = begin(array, first, count, items, deadline, &release);
    if (rc >= 0 && count > 0) memcpy(item_at(array, first), items, count * array->item_size);
    if (release) kin_lock_release(array->lock);
    return rc;
}

KIN__LAYOUT_PART(array, struct kin_array);
