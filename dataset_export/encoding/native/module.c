/* dataset_export.encoding.ndjson_native: the stable ABI of Python 3.11, so that one build serves all later ones. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "deflate.h"
#include "json_text.h"

typedef struct {
    PyObject_HEAD
    JsonText *json;
    Deflate *deflate;
    Text text;
    bool is_compressed;     /* the text: its end is the history of what comes next */
    bool is_busy;
    uint8_t *packed;
    size_t packed_room;
} Writer;

static PyObject *writer_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *capsule;
    static char *names[] = {"schema", NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O:Writer", names, &capsule)) return NULL;
    const struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (!schema) return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Writer *self = (Writer *)make(type, 0);
    if (!self) return NULL;
    const char *why_not;
    self->json = json_text_new(schema, &why_not);
    if (!self->json) {
        PyErr_SetString(PyExc_ValueError, why_not);
        Py_DECREF(self);
        return NULL;
    }
    self->deflate = deflate_new();
    if (!self->deflate) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void writer_dealloc(PyObject *object) {
    Writer *self = (Writer *)object;
    PyTypeObject *type = Py_TYPE(object);
    json_text_free(self->json);
    deflate_free(self->deflate);
    free(self->packed);
    free(self->text.bytes);
    free(self->text.anchors);
    freefunc give_back = (freefunc)PyType_GetSlot(type, Py_tp_free);
    give_back(object);
    Py_DECREF(type);
}

static PyObject *raised(int error) {
    switch (error) {
    case JSON_TEXT_NO_MEMORY: return PyErr_NoMemory();
    case JSON_TEXT_TOO_LARGE: PyErr_SetString(PyExc_OverflowError, "the text of the rows is too large"); return NULL;
    default: PyErr_SetString(PyExc_ValueError, "a value has no text"); return NULL;
    }
}

static bool is_free(const Writer *self) {
    if (self->is_busy) PyErr_SetString(PyExc_RuntimeError, "another thread is using this writer");
    return !self->is_busy;
}

static PyObject *writer_text(PyObject *object, PyObject *arguments) {
    Writer *self = (Writer *)object;
    PyObject *capsule;
    long long first, rows;
    if (!PyArg_ParseTuple(arguments, "OLL:text", &capsule, &first, &rows)) return NULL;
    const struct ArrowArray *batch = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!batch || !is_free(self)) return NULL;
    int error;
    self->is_busy = true;
    self->is_compressed = false;
    self->text.size = self->text.count = 0;
    Py_BEGIN_ALLOW_THREADS
    error = json_text_write(self->json, batch, first, rows, &self->text);
    Py_END_ALLOW_THREADS
    self->is_busy = false;
    if (error != JSON_TEXT_DONE) return raised(error);
    return PyBytes_FromStringAndSize((const char *)self->text.bytes, (Py_ssize_t)self->text.size);
}

static int make_room(Writer *self, size_t size) {
    if (size <= self->packed_room) return JSON_TEXT_DONE;
    uint8_t *larger = realloc(self->packed, size);
    if (!larger) return JSON_TEXT_NO_MEMORY;
    self->packed = larger;
    self->packed_room = size;
    return JSON_TEXT_DONE;
}

/* Keep of the text what a match may lie in; returns how much. */
static size_t keep_history(Writer *self, bool is_alone) {
    Text *text = &self->text;
    size_t kept = is_alone || !self->is_compressed ? 0 : text->size < DEFLATE_WINDOW ? text->size : DEFLATE_WINDOW;
    if (kept) memmove(text->bytes, text->bytes + text->size - kept, kept);
    else deflate_reset(self->deflate);
    text->size = kept;
    text->count = 0;
    return kept;
}

static PyObject *writer_deflated(PyObject *object, PyObject *arguments) {
    Writer *self = (Writer *)object;
    PyObject *capsule;
    long long first, rows;
    int is_alone;
    if (!PyArg_ParseTuple(arguments, "OLLp:deflated", &capsule, &first, &rows, &is_alone)) return NULL;
    const struct ArrowArray *batch = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!batch || !is_free(self)) return NULL;
    int error;
    size_t history, packed = 0;
    self->is_busy = true;
    Py_BEGIN_ALLOW_THREADS
    history = keep_history(self, is_alone);
    error = json_text_write(self->json, batch, first, rows, &self->text);
    if (error == JSON_TEXT_DONE) error = make_room(self, deflate_bound(self->text.size - history));
    if (error == JSON_TEXT_DONE) packed = deflate_text(self->deflate, &self->text, history, self->packed);
    Py_END_ALLOW_THREADS
    self->is_compressed = error == JSON_TEXT_DONE;
    self->is_busy = false;
    if (error != JSON_TEXT_DONE) return raised(error);
    return Py_BuildValue("y#y#", self->packed, (Py_ssize_t)packed, self->text.bytes + history,
                         (Py_ssize_t)(self->text.size - history));
}

static PyObject *writer_anchors(PyObject *object, PyObject *Py_UNUSED(none)) {
    Writer *self = (Writer *)object;
    if (!is_free(self)) return NULL;
    return PyBytes_FromStringAndSize((const char *)self->text.anchors, (Py_ssize_t)(self->text.count * sizeof(Anchor)));
}

static PyMethodDef writer_methods[] = {
    {"text", writer_text, METH_VARARGS, "Rows of an array as NDJSON."},
    {"deflated", writer_deflated, METH_VARARGS, "Rows of an array as NDJSON, compressed and plain."},
    {"anchors", writer_anchors, METH_NOARGS, "Those of the last text: at, slot and value, 32 bits each."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_new, writer_new}, {Py_tp_dealloc, writer_dealloc}, {Py_tp_methods, writer_methods}, {0, NULL},
};

static PyType_Spec writer_spec = {
    .name = "dataset_export.encoding.ndjson_native.Writer",
    .basicsize = sizeof(Writer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = writer_slots,
};

static int fill(PyObject *module) {
    PyObject *writer = PyType_FromSpec(&writer_spec);
    if (!writer) return -1;
    int error = PyModule_AddObjectRef(module, "Writer", writer);
    Py_DECREF(writer);
    return error;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "ndjson_native", .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit_ndjson_native(void) { return PyModuleDef_Init(&module); }
