// The functions of NVIDIA's management library that the node asks, for tests: one GPU with figures of its own, and a
// second one that answers nothing.
#include <cstdio>

namespace {

constexpr int kDone = 0, kNotSupported = 3;

bool answers(const void* device) {
    return device == reinterpret_cast<const void*>(1);
}

}  // namespace

extern "C" {

struct Utilization {
    unsigned gpu, memory;
};
struct Memory {
    unsigned long long total, free, used;
};

int nvmlInit_v2() {
    return kDone;
}
int nvmlShutdown() {
    return kDone;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
    *count = 2;
    return kDone;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
    *device = reinterpret_cast<void*>(index + 1ul);
    return kDone;
}
int nvmlDeviceGetName(void* device, char* name, unsigned length) {
    if (answers(device)) {
        std::snprintf(name, length, "Test GPU");
    }
    return answers(device) ? kDone : kNotSupported;
}
int nvmlDeviceGetUtilizationRates(void* device, Utilization* rates) {
    *rates = {87, 40};
    return answers(device) ? kDone : kNotSupported;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
    *memory = {140'000'000'000, 110'000'000'000, 30'000'000'000};
    return answers(device) ? kDone : kNotSupported;
}
int nvmlDeviceGetTemperature(void* device, int sensor, unsigned* degrees) {
    *degrees = 61;
    return answers(device) && sensor == 0 ? kDone : kNotSupported;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
    *milliwatts = 412'500;
    return answers(device) ? kDone : kNotSupported;
}
int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned* milliwatts) {
    *milliwatts = 700'000;
    return answers(device) ? kDone : kNotSupported;
}
}
