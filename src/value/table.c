/* table.c: dicts and sets.
 *
 * Entries stand in the order of insertion; an index of 8 bytes a slot, with linear probing, finds
 * them (the layout of CPython's and PyPy's dicts).  A table of up to FEW entries has no index:
 * its keys are compared one after the other.
 *
 * Invariants:
 *  - With an index, at least a third of the slots is free, so that a search ends.
 *  - A removed entry stays, with a key of the kind KIN_VALUE_FAILED, until the table is rebuilt;
 *    its slot stays as KIN__SLOT_REMOVED, for later ones may have been put behind it.
 */
#include <errno.h>
#include <stdlib.h>

#include "os/os.h"
#include "value/value.h"

#define FEW 8

static kin_value *entry_at(const struct kin__table *table, size_t number)
{
    return table->entry + number * table->stride;
}

kin_value kin__table_make(kin_value_kinds kind)
{
    struct kin__table *table = kin__boxed_make(kind, sizeof *table);
    if (table == NULL) return kin_value_failed(-ENOMEM);
    table->used = table->live = table->capacity = table->slots = table->taken = 0;
    table->stride = kind == KIN_VALUE_DICT ? 2 : 1;
    table->entry = NULL;
    table->slot = NULL;
    return kin__value_of(kind, table);
}

/* ---- growing ------------------------------------------------------------------------------ */

static void index_entry(struct kin__table *table, uint32_t hash, uint32_t number)
{
    size_t mask = table->slots - 1, at = hash & mask;
    while (table->slot[at].entry < KIN__SLOT_REMOVED) at = (at + 1) & mask;
    table->taken += table->slot[at].entry == KIN__SLOT_FREE;
    table->slot[at] = (struct kin__slot){hash, number};
}

static int hash_key(const kin_value *key, uint32_t *hash)
{
    uint64_t whole = 0;
    int rc = kin__value_hash(key, &whole, KIN__LEVELS);
    *hash = (uint32_t)(whole ^ whole >> 32);
    return rc;
}

/* Gives the table an index of `slots` slots; the entries have no gaps. */
static int index_anew(struct kin__table *table, size_t slots)
{
    struct kin__slot *slot = kin__os_malloc(slots * sizeof *slot), *old = table->slot;
    if (slot == NULL) return -ENOMEM;
    memset(slot, 0xff, slots * sizeof *slot);
    size_t old_slots = table->slots;
    table->slot = slot;
    table->slots = slots;
    table->taken = 0;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i].entry < KIN__SLOT_REMOVED) index_entry(table, old[i].hash, old[i].entry);
    }
    for (size_t i = 0; old == NULL && i < table->used; i++) {
        uint32_t hash;
        hash_key(entry_at(table, i), &hash); /* it was hashable when it was looked for */
        index_entry(table, hash, (uint32_t)i);
    }
    free(old);
    return 0;
}

/* Closes the gaps that removed entries have left. */
static void close_gaps(struct kin__table *table)
{
    if (table->live == table->used) return;
    size_t to = 0;
    for (size_t from = 0; from < table->used; from++) {
        if (entry_at(table, from)->kind_ == KIN_VALUE_FAILED) continue;
        if (to != from) memcpy(entry_at(table, to), entry_at(table, from), table->stride * sizeof(kin_value));
        to++;
    }
    table->used = table->live;
    free(table->slot);
    table->slot = NULL;
    table->slots = table->taken = 0;
}

static size_t slots_for(size_t entries)
{
    size_t slots = 16;
    while (slots * 2 / 3 < entries) slots *= 2;
    return slots;
}

int kin__table_reserve(struct kin__table *table, size_t entries)
{
    if (entries > KIN__ENTRIES_MOST) return -E2BIG;
    if (entries > table->capacity) {
        kin_value *entry = kin__os_realloc(table->entry, entries * table->stride * sizeof *entry);
        if (entry == NULL) return -ENOMEM;
        table->entry = entry;
        table->capacity = entries;
    }
    if (entries <= FEW && table->slot == NULL) return 0;
    return slots_for(entries) > table->slots ? index_anew(table, slots_for(entries)) : 0;
}

/* Makes room for one more entry and its slot. */
static int make_room(struct kin__table *table)
{
    bool no_slot = table->slot ? table->taken >= table->slots * 2 / 3 : table->used >= FEW;
    if (table->used < table->capacity && !no_slot) return 0;
    close_gaps(table);
    size_t wanted = table->live < FEW ? FEW : table->live + table->live / 2 + 4;
    int rc = kin__table_reserve(table, wanted);
    /* Removed entries at the end have left no gap, but slots. */
    if (rc == 0 && table->slot && table->taken >= table->slots * 2 / 3)
        rc = index_anew(table, slots_for(wanted));
    return rc;
}

/* ---- finding ------------------------------------------------------------------------------ */

/* The number of a key's entry; -1: it is not there; another error. */
static int64_t find_number(const struct kin__table *table, const kin_value *key, uint32_t hash)
{
    if (table->slot == NULL) {
        for (size_t i = 0; i < table->used; i++) {
            const kin_value *other = entry_at(table, i);
            if (other->kind_ == KIN_VALUE_FAILED) continue;
            int same = kin__key_equal(other, key);
            if (same != 0) return same > 0 ? (int64_t)i : same;
        }
        return -1;
    }
    size_t mask = table->slots - 1;
    for (size_t at = hash & mask; table->slot[at].entry != KIN__SLOT_FREE; at = (at + 1) & mask) {
        struct kin__slot slot = table->slot[at];
        if (slot.hash != hash || slot.entry == KIN__SLOT_REMOVED) continue;
        int same = kin__key_equal(entry_at(table, slot.entry), key);
        if (same != 0) return same > 0 ? (int64_t)slot.entry : same;
    }
    return -1;
}

/* Hashes a key where the table needs it, and in any case finds out whether it can be. */
static int hash_for(const struct kin__table *table, const kin_value *key, uint32_t *hash)
{
    *hash = 0;
    bool surely = key->kind_ == KIN_VALUE_STR || key->kind_ == KIN_VALUE_INT;
    return table->slot == NULL && surely ? 0 : hash_key(key, hash);
}

kin_value *kin__table_find(const struct kin__table *table, const kin_value *key, int *code)
{
    uint32_t hash;
    *code = hash_for(table, key, &hash);
    if (*code < 0) return NULL;
    int64_t number = find_number(table, key, hash);
    if (number >= 0) return entry_at(table, (size_t)number);
    *code = number == -1 ? 0 : (int)number;
    return NULL;
}

/* ---- changing ----------------------------------------------------------------------------- */

static int put(struct kin__table *table, kin_value *key, kin_value *item)
{
    uint32_t hash;
    int rc = kin__values_check(key, 1);
    if (rc == 0 && table->stride == 2) rc = kin__values_check(item, 1);
    if (rc == 0) rc = make_room(table);
    if (rc == 0) rc = hash_for(table, key, &hash);
    if (rc != 0) return rc;
    int64_t number = find_number(table, key, hash);
    if (number < -1) return (int)number;
    if (number >= 0) {
        kin_value *entry = entry_at(table, (size_t)number);
        if (table->stride == 2) {
            kin_value old = entry[1];
            entry[1] = *item;
            *item = old;
        }
        return 0;
    }
    kin_value *entry = entry_at(table, table->used);
    entry[0] = *key;
    if (table->stride == 2) entry[1] = *item;
    if (table->slot) index_entry(table, hash, (uint32_t)table->used);
    table->used++;
    table->live++;
    return 1;
}

int kin__table_put(struct kin__table *table, kin_value key, kin_value item)
{
    int rc = put(table, &key, &item);
    if (rc == 1) return 1;
    kin__value_drop(&key);
    kin__value_drop(&item);
    return rc;
}

static void unindex(struct kin__table *table, uint32_t hash, uint32_t number)
{
    if (table->slot == NULL) return;
    size_t mask = table->slots - 1, at = hash & mask;
    while (table->slot[at].entry != number) at = (at + 1) & mask;
    table->slot[at].entry = KIN__SLOT_REMOVED;
}

/* Takes an entry out: 1, and `out` holds it; 0 when there is none. */
static int take(struct kin__table *table, const kin_value *key, kin_value out[2])
{
    uint32_t hash;
    int rc = hash_for(table, key, &hash);
    if (rc < 0) return rc;
    int64_t number = find_number(table, key, hash);
    if (number < 0) return number == -1 ? 0 : (int)number;
    kin_value *entry = entry_at(table, (size_t)number);
    out[0] = entry[0];
    out[1] = table->stride == 2 ? entry[1] : kin_value_none();
    unindex(table, hash, (uint32_t)number);
    for (size_t i = 0; i < table->stride; i++) entry[i] = (kin_value){.kind_ = KIN_VALUE_FAILED};
    table->live--;
    /* The last one leaves no gap, so that a stack of keys does not grow. */
    if ((size_t)number + 1 == table->used) table->used--;
    return 1;
}

/* ---- the public functions ----------------------------------------------------------------- */

kin_value kin_value_dict(void)
{
    return kin__table_make(KIN_VALUE_DICT);
}

kin_value kin_value_set(void)
{
    return kin__table_make(KIN_VALUE_SET);
}

kin_value kin_value_frozenset(kin_value *items, size_t count)
{
    kin_value value = kin__table_make(KIN_VALUE_FROZENSET);
    int rc = items == NULL && count > 0 ? -EINVAL : kin_value_error_code(&value);
    for (size_t i = 0; items != NULL && i < count; i++) {
        if (rc >= 0)
            rc = kin__table_put(value.as_.object, items[i], kin_value_none());
        else
            kin__value_drop(&items[i]);
    }
    if (rc >= 0) return value;
    kin_value_clear(&value);
    return kin_value_failed(rc);
}

static struct kin__table *table_of(const kin_value *value, kin_value_kinds kind, int *code)
{
    struct kin__table *table = kin__block(value, kind);
    *code = table ? 0 : value ? KIN_EKIND : -EINVAL;
    return table;
}

int kin_value_dict_set(kin_value *dict, kin_value key, kin_value item)
{
    int rc;
    struct kin__table *table = table_of(dict, KIN_VALUE_DICT, &rc);
    if (rc == 0) {
        rc = kin__table_put(table, key, item);
        return rc < 0 ? rc : 0;
    }
    kin__value_drop(&key);
    kin__value_drop(&item);
    return rc;
}

int kin_value_dict_set_str(kin_value *dict, const char *key, kin_value item)
{
    return kin_value_dict_set(dict, kin_value_str(key), item);
}

const kin_value *kin_value_dict_get(const kin_value *dict, const kin_value *key)
{
    int rc;
    struct kin__table *table = table_of(dict, KIN_VALUE_DICT, &rc);
    kin_value *entry = table && key ? kin__table_find(table, key, &rc) : NULL;
    return entry ? entry + 1 : NULL;
}

const kin_value *kin_value_dict_get_str(const kin_value *dict, const char *key)
{
    if (key == NULL) return NULL;
    /* For the search alone; it refers to the caller's text. */
    size_t size = strlen(key);
    struct kin__text text = {.size = size, .data = key};
    kin_value wanted = size <= KIN__SMALL_MOST ? kin__text_make(KIN_VALUE_STR, key, size)
                                               : kin__value_of(KIN_VALUE_STR, &text);
    return kin_value_dict_get(dict, &wanted);
}

kin_value kin_value_dict_pop(kin_value *dict, const kin_value *key)
{
    int rc;
    kin_value out[2];
    struct kin__table *table = table_of(dict, KIN_VALUE_DICT, &rc);
    if (rc == 0) rc = key ? take(table, key, out) : -EINVAL;
    if (rc <= 0) return kin_value_failed(rc < 0 ? rc : -ENOENT);
    kin__value_drop(&out[0]);
    return out[1];
}

int kin_value_set_add(kin_value *set, kin_value item)
{
    int rc;
    struct kin__table *table = table_of(set, KIN_VALUE_SET, &rc);
    if (rc == 0) return kin__table_put(table, item, kin_value_none());
    kin__value_drop(&item);
    return rc;
}

int kin_value_set_discard(kin_value *set, const kin_value *item)
{
    int rc;
    kin_value out[2];
    struct kin__table *table = table_of(set, KIN_VALUE_SET, &rc);
    if (rc == 0) rc = item ? take(table, item, out) : -EINVAL;
    if (rc > 0) kin__value_drop(&out[0]);
    return rc;
}

bool kin_value_next(const kin_value *container, size_t *position, const kin_value **key,
                    const kin_value **item)
{
    struct kin__table *table = kin__table(container);
    const kin_value *entry;
    if (position == NULL || key == NULL) return false;
    if (table) {
        while (*position < table->used && entry_at(table, *position)->kind_ == KIN_VALUE_FAILED)
            (*position)++;
        if (*position >= table->used) return false;
        entry = entry_at(table, *position);
    } else {
        size_t size;
        const kin_value *items = kin__items(container, &size);
        if (*position >= size) return false;
        entry = &items[*position];
    }
    *key = entry;
    if (item) *item = table && table->stride == 2 ? entry + 1 : entry;
    (*position)++;
    return true;
}

int kin_value_contains(const kin_value *container, const kin_value *item)
{
    if (container == NULL || item == NULL) return -EINVAL;
    struct kin__table *table = kin__table(container);
    if (table) {
        int rc;
        return kin__table_find(table, item, &rc) ? 1 : rc;
    }
    if (container->kind_ != KIN_VALUE_TUPLE && container->kind_ != KIN_VALUE_LIST) return KIN_EKIND;
    const kin_value *each;
    for (size_t at = 0; kin_value_next(container, &at, &each, NULL);) {
        int same = kin_value_equal(each, item);
        if (same != 0) return same;
    }
    return 0;
}

int kin_value_empty(kin_value *container)
{
    if (container == NULL) return -EINVAL;
    if (container->kind_ == KIN_VALUE_LIST) {
        size_t size;
        kin__items(container, &size);
        return kin_value_list_splice(container, 0, size, NULL, 0);
    }
    if (container->kind_ != KIN_VALUE_DICT && container->kind_ != KIN_VALUE_SET) return KIN_EKIND;
    struct kin__table *table = container->as_.object;
    kin__values_drop(table->entry, table->used * table->stride);
    free(table->entry);
    free(table->slot);
    table->entry = NULL;
    table->slot = NULL;
    table->used = table->live = table->capacity = table->slots = table->taken = 0;
    return 0;
}
