#include "nodes/service/library/device_use.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/input_file.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using protocol::DeviceUse;

namespace {

/// What the system counts of the processors: sensors of the chip, not of disks and fans.
constexpr std::array kSensors = {"coretemp", "k10temp", "zenpower", "cpu_thermal"};
constexpr std::size_t kMostSensors = 256;  ///< folders that are looked at

std::optional<std::uint64_t> number_in(const fs::path& file) {
    std::istringstream text = base::system_file(file);
    std::uint64_t number = 0;
    return text >> number ? std::optional(number) : std::nullopt;
}

std::string word_in(const fs::path& file) {
    std::istringstream text = base::system_file(file);
    std::string word;
    text >> word;
    return word;
}

std::vector<fs::path> folders_in(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end && found.size() < kMostSensors;
         it.increment(error)) {
        found.push_back(it->path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

void read_memory(const fs::path& file, DeviceUse& use) {
    std::istringstream text = base::system_file(file);
    std::optional<std::uint64_t> total, available;
    std::string line;
    while (std::getline(text, line)) {
        std::istringstream words(line);
        std::string key;
        std::uint64_t kib = 0;
        if (!(words >> key >> kib) || kib > (std::uint64_t{1} << 50)) {
            continue;
        }
        if (key == "MemTotal:") {
            total = kib * 1024;
        } else if (key == "MemAvailable:") {
            available = kib * 1024;
        }
    }
    if (total && available && *available <= *total) {
        use.memory_total = total;
        use.memory_used = *total - *available;
    }
}

/// What was told before, while the difference is less than `least`.
template <class T>
void keep(std::optional<T>& now, const std::optional<T>& before, double least) {
    if (now && before && std::abs(static_cast<double>(*now) - static_cast<double>(*before)) < least) {
        now = before;
    }
}

void keep_noise(DeviceUse& now, const DeviceUse& before) {
    keep(now.use, before.use, 0.03);
    keep(now.memory_used, before.memory_used, 0.005 * static_cast<double>(now.memory_total.value_or(0)));
    keep(now.temperature, before.temperature, 1.5);
    keep(now.power, before.power, std::max(1.0, 0.02 * before.power.value_or(0)));
}

}  // namespace

/// NVIDIA's management library. Its functions are declared here as its documentation has them, so that nothing of it is
/// needed to build.
class DeviceUses::Driver {
 public:
    using Handle = void*;
    struct Utilization {
        unsigned gpu, memory;  ///< percent
    };
    struct Memory {
        unsigned long long total, free, used;  ///< bytes
    };

    static std::unique_ptr<Driver> open(const std::string& name) {
        auto driver = std::unique_ptr<Driver>(new Driver(name));
        return driver->ready_ ? std::move(driver) : nullptr;
    }
    ~Driver() {
        if (ready_) {
            (void)shutdown_();
        }
        if (library_ != nullptr) {
            ::dlclose(library_);
        }
    }
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    void look(std::vector<DeviceUse>& list) const {
        unsigned count = 0;
        if (count_(&count) != 0) {
            return;
        }
        for (unsigned i = 0; i < std::min(count, 64u); ++i) {
            Handle device = nullptr;
            if (device_(i, &device) == 0) {
                list.push_back(look_at(device, i));
            }
        }
    }

 private:
    explicit Driver(const std::string& name) : library_(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        ready_ = library_ != nullptr && find(init_, "nvmlInit_v2") && find(shutdown_, "nvmlShutdown") &&
                 find(count_, "nvmlDeviceGetCount_v2") && find(device_, "nvmlDeviceGetHandleByIndex_v2") &&
                 init_() == 0;
        // Each of these may be missing: then nobody tells.
        find(name_, "nvmlDeviceGetName");
        find(utilization_, "nvmlDeviceGetUtilizationRates");
        find(memory_, "nvmlDeviceGetMemoryInfo");
        find(temperature_, "nvmlDeviceGetTemperature");
        find(power_, "nvmlDeviceGetPowerUsage");
        find(limit_, "nvmlDeviceGetEnforcedPowerLimit");
    }

    template <class Function>
    bool find(Function*& function, const char* name) const {
        function = library_ == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(library_, name));
        return function != nullptr;
    }

    DeviceUse look_at(Handle device, unsigned index) const {
        DeviceUse use;
        use.name = fmt::format("gpu {}", index);
        std::array<char, 96> title{};
        if (name_ != nullptr && name_(device, title.data(), title.size() - 1) == 0) {
            use.title = title.data();
        }
        if (Utilization rates{}; utilization_ != nullptr && utilization_(device, &rates) == 0 && rates.gpu <= 100) {
            use.use = rates.gpu / 100.0;
        }
        if (Memory memory{}; memory_ != nullptr && memory_(device, &memory) == 0 && memory.used <= memory.total) {
            use.memory_used = memory.used;
            use.memory_total = memory.total;
        }
        if (unsigned degrees = 0; temperature_ != nullptr && temperature_(device, 0, &degrees) == 0) {
            use.temperature = degrees;
        }
        if (unsigned milliwatts = 0; power_ != nullptr && power_(device, &milliwatts) == 0) {
            use.power = milliwatts / 1000.0;
        }
        if (unsigned milliwatts = 0; limit_ != nullptr && limit_(device, &milliwatts) == 0) {
            use.power_limit = milliwatts / 1000.0;
        }
        return use;
    }

    void* library_;
    bool ready_ = false;
    int (*init_)() = nullptr;
    int (*shutdown_)() = nullptr;
    int (*count_)(unsigned*) = nullptr;
    int (*device_)(unsigned, Handle*) = nullptr;
    int (*name_)(Handle, char*, unsigned) = nullptr;
    int (*utilization_)(Handle, Utilization*) = nullptr;
    int (*memory_)(Handle, Memory*) = nullptr;
    int (*temperature_)(Handle, int, unsigned*) = nullptr;
    int (*power_)(Handle, unsigned*) = nullptr;
    int (*limit_)(Handle, unsigned*) = nullptr;
};

DeviceUses::DeviceUses(fs::path root, std::string driver) : root_(std::move(root)), driver_(Driver::open(driver)) {}
DeviceUses::~DeviceUses() = default;

std::optional<double> DeviceUses::share_in_use() {
    std::istringstream text = base::system_file(root_ / "proc/stat");
    std::string word;
    if (!(text >> word) || word != "cpu") {
        return std::nullopt;
    }
    // user nice system idle iowait irq softirq steal; what guests take is in the first two.
    std::array<std::uint64_t, 8> counts{};
    for (std::uint64_t& count : counts) {
        if (!(text >> count)) {
            return std::nullopt;
        }
    }
    Ticks now;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        now.all += counts[i];
        now.busy += i == 3 || i == 4 ? 0 : counts[i];
    }
    const std::optional<Ticks> before = std::exchange(ticks_, now);
    if (!before || now.all <= before->all || now.busy < before->busy) {
        return std::nullopt;
    }
    return std::min(1.0, static_cast<double>(now.busy - before->busy) / static_cast<double>(now.all - before->all));
}

/// Of the hottest of its sensors.
std::optional<double> DeviceUses::temperature() const {
    std::optional<double> hottest;
    for (const fs::path& folder : folders_in(root_ / "sys/class/hwmon")) {
        const std::string name = word_in(folder / "name");
        if (std::find(kSensors.begin(), kSensors.end(), name) == kSensors.end()) {
            continue;
        }
        for (int i = 1; i <= 64; ++i) {
            const auto thousandths = number_in(folder / fmt::format("temp{}_input", i));
            if (!thousandths && i > 4) {
                break;
            }
            if (thousandths && *thousandths < 1'000'000) {
                hottest = std::max(hottest.value_or(-1e9), static_cast<double>(*thousandths) / 1000);
            }
        }
    }
    return hottest;
}

/// Of all packages, from the energy that they count; most systems tell it to the administrator alone.
std::optional<double> DeviceUses::power(double seconds) {
    std::map<std::string, std::uint64_t> now;
    std::uint64_t spent = 0;
    bool known = true;
    for (const fs::path& folder : folders_in(root_ / "sys/class/powercap")) {
        const std::string name = folder.filename().string();
        // "intel-rapl:0" is a package, "intel-rapl:0:0" a part of it.
        if (!name.starts_with("intel-rapl:") || name.find(':', 11) != std::string::npos) {
            continue;
        }
        const auto energy = number_in(folder / "energy_uj"), range = number_in(folder / "max_energy_range_uj");
        const auto before = joules_.find(name);
        if (!energy || !word_in(folder / "name").starts_with("package")) {
            continue;
        }
        now[name] = *energy;
        if (before == joules_.end() || (*energy < before->second && (!range || *range < before->second))) {
            known = false;
        } else {
            spent += *energy >= before->second ? *energy - before->second : *range - before->second + *energy;
        }
    }
    const double since = seconds - std::exchange(counted_at_, seconds);
    joules_ = std::move(now);
    return known && !joules_.empty() && since > 0 ? std::optional(static_cast<double>(spent) * 1e-6 / since)
                                                  : std::nullopt;
}

DeviceUse DeviceUses::processor(double seconds) {
    DeviceUse use;
    use.name = "cpu";
    use.use = share_in_use();
    read_memory(root_ / "proc/meminfo", use);
    use.temperature = temperature();
    use.power = power(seconds);
    return use;
}

std::vector<DeviceUse> DeviceUses::look(double seconds) {
    std::vector<DeviceUse> list;
    list.push_back(processor(seconds));
    if (driver_) {
        driver_->look(list);
    }
    for (std::size_t i = 0; i < std::min(list.size(), told_.size()); ++i) {
        if (list[i].name == told_[i].name) {
            keep_noise(list[i], told_[i]);
        }
    }
    told_ = list;
    return list;
}

}  // namespace moescope::node
