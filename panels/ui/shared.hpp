// What the panels of a session keep together while it is open, and no longer: an object per type, made when it is first
// asked for. Owned by the app, reached through Context::shared. GUI thread.
#pragma once

#include <memory>
#include <typeindex>
#include <unordered_map>

namespace moescope::ui {

class Shared {
 public:
    /// T is made without arguments. Valid as long as the session is open.
    template <class T>
    T& get() {
        std::shared_ptr<void>& object = objects_[std::type_index(typeid(T))];
        if (!object) {
            object = std::make_shared<T>();
        }
        return *static_cast<T*>(object.get());
    }

 private:
    std::unordered_map<std::type_index, std::shared_ptr<void>> objects_;
};

}  // namespace moescope::ui
