// A back end of ggml in a module, opened as the one for GPUs is, whose device is the processor in disguise: its memory
// can be touched by nobody while nothing is asked of it, so whoever reads or writes a tensor there without ggml's
// functions ends with a signal, as with the memory of a GPU. ggml's own processor computes on it.
// MOESCOPE_TEST_GGML says what it is like: see kind().
#include <cstdlib>
#include <cstring>
#include <ggml-cpu.h>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <vector>

#include "kernels/ggml_module.hpp"
#include "tests/engine/runner/ggml_module/layout.hpp"

extern "C" void ggml_log_internal(ggml_log_level level, const char* format, ...);

namespace {

constexpr std::size_t kMuch = std::size_t{4} << 30;

std::string kind() {
    const char* value = std::getenv("MOESCOPE_TEST_GGML");
    return value == nullptr ? "" : value;
}

/// The memory of the device: pages that are opened for the time of a call.
class Memory {
 public:
    static Memory& get() {
        static Memory memory;
        return memory;
    }
    void* take(std::size_t size) {
        const std::lock_guard lock(mutex_);
        void* pages = ::mmap(nullptr, size, open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) {
            return nullptr;
        }
        parts_.push_back({pages, size});
        return pages;
    }
    void give_back(void* pages) {
        const std::lock_guard lock(mutex_);
        for (auto part = parts_.begin(); part != parts_.end(); ++part) {
            if (part->pages == pages) {
                ::munmap(pages, part->size);
                parts_.erase(part);
                return;
            }
        }
    }
    class Access {
     public:
        Access() { get().turn(1); }
        ~Access() { get().turn(-1); }
        Access(const Access&) = delete;
        Access& operator=(const Access&) = delete;
    };

 private:
    struct Part {
        void* pages;
        std::size_t size;
    };
    void turn(int by) {
        const std::lock_guard lock(mutex_);
        const bool was_open = open_ > 0;
        open_ += by;
        if (was_open != (open_ > 0)) {
            for (const Part& part : parts_) {
                ::mprotect(part.pages, part.size, open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
            }
        }
    }
    std::mutex mutex_;
    std::vector<Part> parts_;
    int open_ = 0;
};

// --- Buffers

std::byte* at(const ggml_tensor* tensor, std::size_t offset) {
    return static_cast<std::byte*>(tensor->data) + offset;
}
void free_buffer(ggml_backend_buffer_t buffer) {
    Memory::get().give_back(ggml_backend_buffer_get_base(buffer));
}
void* base_of(ggml_backend_buffer_t buffer) {
    return buffer->context;
}
void fill(ggml_backend_buffer_t, ggml_tensor* tensor, std::uint8_t value, std::size_t offset, std::size_t size) {
    const Memory::Access access;
    std::memset(at(tensor, offset), value, size);
}
void set(ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, std::size_t offset, std::size_t size) {
    const Memory::Access access;
    std::memcpy(at(tensor, offset), data, size);
}
void get(ggml_backend_buffer_t, const ggml_tensor* tensor, void* data, std::size_t offset, std::size_t size) {
    const Memory::Access access;
    std::memcpy(data, at(tensor, offset), size);
}
void clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
    const Memory::Access access;
    std::memset(ggml_backend_buffer_get_base(buffer), value, ggml_backend_buffer_get_size(buffer));
}
const char* type_name(ggml_backend_buffer_type_t) {
    return "Stand-in";
}
std::size_t alignment(ggml_backend_buffer_type_t) {
    return 128;
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, std::size_t size) {
    void* pages = Memory::get().take(size);
    if (pages == nullptr) {
        return nullptr;
    }
    ggml_backend_buffer_i functions{};
    functions.free_buffer = free_buffer;
    functions.get_base = base_of;
    functions.memset_tensor = fill;
    functions.set_tensor = set;
    functions.get_tensor = get;
    functions.clear = clear;
    return ggml_backend_buffer_init(type, functions, pages, size);
}

// --- The stream of work

ggml_backend_t inner(ggml_backend_t backend) {
    return static_cast<ggml_backend_t>(backend->context);
}
const char* backend_name(ggml_backend_t) {
    return "Stand-in";
}
void free_backend(ggml_backend_t backend) {
    ggml_backend_free(inner(backend));
    const std::unique_ptr<ggml_backend> own(backend);
}
ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
    if (kind() == "fails") {
        ggml_log_internal(GGML_LOG_LEVEL_ERROR, "%s", "CUDA error: out of memory\n");
        ggml_log_internal(GGML_LOG_LEVEL_ERROR, "%s", "  current device: 0, in function alloc at module.cpp:1\n");
        ggml_abort("/somewhere/ggml-cuda.cu", 107, "CUDA error");
    }
    const Memory::Access access;
    return ggml_backend_graph_compute(inner(backend), graph);
}
void set_threads(ggml_backend_t backend, int threads) {
    ggml_backend_cpu_set_n_threads(inner(backend), threads);
}

// --- The device

ggml_backend_dev_t processor() {
    return ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
}
const char* device_name(ggml_backend_dev_t) {
    return "Stand-in0";
}
const char* description(ggml_backend_dev_t) {
    return "The processor as a device of its own";
}
void memory(ggml_backend_dev_t, std::size_t* free, std::size_t* total) {
    *total = kMuch;
    *free = kind().starts_with("free ") ? std::strtoull(kind().c_str() + 5, nullptr, 10) : kMuch;
}
enum ggml_backend_dev_type device_type(ggml_backend_dev_t) {
    return GGML_BACKEND_DEVICE_TYPE_GPU;
}
void properties(ggml_backend_dev_t device, ggml_backend_dev_props* into) {
    *into = {};
    into->name = device_name(device);
    into->description = description(device);
    into->type = device_type(device);
    memory(device, &into->memory_free, &into->memory_total);
}
ggml_backend_t start(ggml_backend_dev_t device, const char*) {
    static ggml_guid id = {'m', 'o', 'e', 's', 'c', 'o', 'p', 'e', ' ', 's', 't', 'a', 'n', 'd', 'i', 'n'};
    auto backend = std::make_unique<ggml_backend>();
    backend->guid = &id;
    backend->iface = {};
    backend->iface.get_name = backend_name;
    backend->iface.free = free_backend;
    backend->iface.graph_compute = compute;
    backend->device = device;
    backend->context = ggml_backend_cpu_init();
    return backend.release();
}
ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) {
    static ggml_backend_buffer_type type{};
    type.iface.get_name = type_name;
    type.iface.alloc_buffer = allocate;
    type.iface.get_alignment = alignment;
    type.device = device;
    return &type;
}
bool supports(ggml_backend_dev_t, const ggml_tensor* operation) {
    return ggml_backend_dev_supports_op(processor(), operation);
}
bool reads(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    return type == buffer_type(device);
}

// --- What ggml registers

const char* registry_name(ggml_backend_reg_t) {
    return "Stand-in";
}
std::size_t device_count(ggml_backend_reg_t) {
    return kind() == "no devices" ? 0 : 1;
}
ggml_backend_dev_t device(ggml_backend_reg_t registry, std::size_t) {
    static ggml_backend_device only{};
    only.iface.get_name = device_name;
    only.iface.get_description = description;
    only.iface.get_memory = memory;
    only.iface.get_type = device_type;
    only.iface.get_props = properties;
    only.iface.init_backend = start;
    only.iface.get_buffer_type = buffer_type;
    only.iface.supports_op = supports;
    only.iface.supports_buft = reads;
    only.reg = registry;
    return &only;
}
void* function(ggml_backend_reg_t, const char* name) {
    return std::strcmp(name, "ggml_backend_set_n_threads") == 0 ? reinterpret_cast<void*>(set_threads) : nullptr;
}

std::int32_t driver() {
    return kind() == "old driver" ? 12040 : kind() == "silent driver" ? 0 : 13000;
}

}  // namespace

extern "C" ggml_backend_reg_t ggml_backend_init() {
    static ggml_backend_reg registry{};
    registry.api_version = kind() == "other ggml" ? 1 : 2;
    registry.iface.get_name = registry_name;
    registry.iface.get_device_count = device_count;
    registry.iface.get_device = device;
    registry.iface.get_proc_address = function;
    return &registry;
}

extern "C" const moescope::kernels::GgmlModule* moescope_ggml_module() {
    static moescope::kernels::GgmlModule module;
    module = {moescope::kernels::kGgmlModuleVersion, MOESCOPE_GGML_PIN, "Stand-in", "9.0", 13050, driver};
    if (kind() == "other version") {
        module.version += 1;
        module.pin = nullptr;  // whatever comes after the version may be something else
    } else if (kind() == "other pin") {
        module.pin = "0000";
    } else if (kind() == "without functions") {
        module.driver = nullptr;
    } else if (kind() == "nothing") {
        return nullptr;
    } else if (kind().starts_with("for ")) {
        static std::string capabilities;
        capabilities = kind().substr(4);
        module.capabilities = capabilities.c_str();
    } else if (kind() == "any GPU") {
        module.capabilities = "";
    }
    return &module;
}
