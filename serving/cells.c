/* Reads the cells of rows that came as JSON into the matrix that a model takes: eight hundred cells in a few microseconds.

   serving/cells.py says what it must give, and does the same without it. It uses Python's stable interface alone, so that what
   was built for one version of Python serves the later ones. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>

enum { READ = 0, REFUSED = 1 };

static int number(PyObject *cell, double *value)
{
    if (Py_TYPE(cell) == &PyFloat_Type)
        *value = PyFloat_AsDouble(cell);
    else if (cell == Py_None)
        *value = NAN;
    else if (Py_TYPE(cell) == &PyLong_Type) { /* a truth is of another type */
        *value = PyLong_AsDouble(cell);
        if (*value == -1.0 && PyErr_Occurred()) {
            PyErr_Clear(); /* beyond the largest float */
            return REFUSED;
        }
    } else
        return REFUSED;
    return READ;
}

static int category(PyObject *cell, PyObject *codes, double unseen, double *value, int64_t *count)
{
    if (cell != Py_None && Py_TYPE(cell) != &PyUnicode_Type)
        return REFUSED;
    PyObject *code = PyDict_GetItemWithError(codes, cell);
    if (!code)
        ++*count;
    *value = code ? PyFloat_AsDouble(code) : unseen;
    return READ;
}

/* Rows (a list of lists or of tuples, all `width` long: numbers, then categories) into rows × width, by the codes of each
   category (a tuple of dicts from text to float); `counts` get the texts without a code, which become `unseen`. */
int whence_cells_read(PyObject *rows, PyObject *codes, Py_ssize_t width, double unseen, double *matrix, int64_t *counts)
{
    Py_ssize_t categories = PyTuple_Size(codes), numbers = width - categories;
    for (Py_ssize_t place = 0; place < PyList_Size(rows); place++) {
        PyObject *row = PyList_GetItem(rows, place);
        int is_list = PyList_Check(row);
        if (!is_list && !PyTuple_Check(row))
            return REFUSED;
        if ((is_list ? PyList_Size(row) : PyTuple_Size(row)) != width)
            return REFUSED;
        for (Py_ssize_t column = 0; column < width; column++, matrix++) {
            PyObject *cell = is_list ? PyList_GetItem(row, column) : PyTuple_GetItem(row, column);
            int found = column < numbers ? number(cell, matrix)
                                         : category(cell, PyTuple_GetItem(codes, column - numbers), unseen, matrix,
                                                    counts + column - numbers);
            if (found != READ)
                return found;
        }
    }
    return READ;
}
