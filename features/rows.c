/* Reads packed rows: asks Redis for them, takes its answer apart, puts slots side by side, and finds the texts behind them.

   features/rows.py says what it must give, and does the same without it. It uses Python's stable interface alone, so that what
   was built for one version of Python serves the later ones. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdio.h>
#include <string.h>

enum { READ = 0, REFUSED = 1, MOST_AROUND = 32 };

/* The numbers of a contiguous array; NULL with an exception for anything else. They stay while the array does, which the caller
   holds. */
static int64_t *numbers(PyObject *array, int flags)
{
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, flags) < 0)
        return NULL;
    int64_t *found = view.buf;
    PyBuffer_Release(&view);
    return found;
}

/* The keys of rows (a list of texts) as Redis is asked for them, `place` before each, as new bytes; NULL with an exception. */
PyObject *whence_rows_in_resp(PyObject *keys, const char *place)
{
    Py_ssize_t before = strlen(place), count = PyList_Size(keys), size = 0, length;
    for (Py_ssize_t row = 0; row < count; row++) {
        if (!PyUnicode_AsUTF8AndSize(PyList_GetItem(keys, row), &length))
            return NULL;
        size += MOST_AROUND + before + length;
    }
    char *start = PyMem_Malloc(size + 1), *at = start;
    if (!start)
        return PyErr_NoMemory();
    for (Py_ssize_t row = 0; row < count; row++) {
        const char *key = PyUnicode_AsUTF8AndSize(PyList_GetItem(keys, row), &length);
        at += sprintf(at, "$%zd\r\n%s", before + length, place);
        memcpy(at, key, length);
        memcpy(at + length, "\r\n", 2);
        at += length + 2;
    }
    PyObject *made = PyBytes_FromStringAndSize(start, at - start);
    PyMem_Free(start);
    return made;
}

/* A whole number of at most nine digits and the line's end behind it; the place behind that, or NULL for anything else. */
static const char *number(const char *at, const char *end, Py_ssize_t *value)
{
    const char *first = at;
    for (*value = 0; at < end && *at >= '0' && *at <= '9' && at - first < 9; at++)
        *value = *value * 10 + (*at - '0');
    return at > first && end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? at + 2 : NULL;
}

/* The next `count` texts of an answer in RESP, into `found`, a list of that length; the place behind them, or -1 where they are
   not all there, or something else is. */
Py_ssize_t whence_rows_taken(PyObject *came, Py_ssize_t place, Py_ssize_t count, PyObject *found)
{
    char *start;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(came, &start, &size) < 0)
        return -1;
    const char *at = start + place, *end = start + size;
    for (Py_ssize_t text = 0; text < count; text++) {
        PyObject *made;
        Py_ssize_t length;
        if (end - at >= 5 && memcmp(at, "$-1\r\n", 5) == 0) {
            made = Py_NewRef(Py_None);
            at += 5;
        } else {
            if (at >= end || *at != '$' || !(at = number(at + 1, end, &length)))
                return -1;
            if (end - at < length + 2 || at[length] != '\r' || at[length + 1] != '\n')
                return -1;
            if (!(made = PyBytes_FromStringAndSize(at, length)))
                return -1;
            at += length + 2;
        }
        if (PyList_SetItem(found, text, made) < 0)
            return -1;
    }
    return at - start;
}

/* The slots of packed rows (a list of bytes, or None for one that is not there), of which each begins at `start`, into rows ×
   width; `absent` are those of a row that is not there. REFUSED where one has not `mark` in its first slot. */
int whence_rows_slots(PyObject *found, Py_ssize_t start, Py_ssize_t width, int64_t mark, PyObject *absent, PyObject *read)
{
    Py_ssize_t size = 8 * width, rows = PyList_Size(found);
    const int64_t *nothing = numbers(absent, PyBUF_SIMPLE);
    int64_t *slots = numbers(read, PyBUF_WRITABLE);
    if (!nothing || !slots)
        return REFUSED;
    for (Py_ssize_t row = 0; row < rows; row++, slots += width) {
        PyObject *packed = PyList_GetItem(found, row);
        if (packed == Py_None) {
            memcpy(slots, nothing, size);
            continue;
        }
        char *bytes;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(packed, &bytes, &length) < 0 || length < start + size)
            return REFUSED;
        memcpy(slots, bytes + start, size);
        if (slots[0] != mark)
            return REFUSED;
    }
    return READ;
}

/* A length, or what there is room for. */
static Py_ssize_t within(int64_t length, Py_ssize_t room)
{
    return length < 0 ? 0 : length > room ? room : length;
}

/* The text at `place` of those that lie from `behind` on in a row's bytes, one after the other, by their lengths. */
static PyObject *text(PyObject *packed, const int64_t *lengths, Py_ssize_t place, Py_ssize_t behind)
{
    char *bytes;
    Py_ssize_t size;
    if (packed == Py_None || lengths[place] < 0)
        return Py_NewRef(Py_None);
    if (PyBytes_AsStringAndSize(packed, &bytes, &size) < 0)
        return NULL;
    Py_ssize_t at = within(behind, size);
    for (Py_ssize_t before = 0; before < place; before++)
        at += within(lengths[before], size - at);
    return PyUnicode_DecodeUTF8(bytes + at, within(lengths[place], size - at), NULL);
}

/* A text of each row, None where it has none, as a new list; the lengths of a row's texts stand in its slots from `first` on.
   NULL with an exception for what is no UTF-8. */
PyObject *whence_rows_texts(PyObject *found, PyObject *read, Py_ssize_t width, Py_ssize_t first, Py_ssize_t place, Py_ssize_t behind)
{
    const int64_t *slots = numbers(read, PyBUF_SIMPLE);
    Py_ssize_t rows = PyList_Size(found);
    PyObject *texts = slots ? PyList_New(rows) : NULL;
    for (Py_ssize_t row = 0; texts && row < rows; row++) {
        PyObject *made = text(PyList_GetItem(found, row), slots + row * width + first, place, behind);
        if (!made || PyList_SetItem(texts, row, made) < 0) {
            Py_DecRef(texts);
            return NULL;
        }
    }
    return texts;
}
