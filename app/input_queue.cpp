#include "app/input_queue.hpp"

#include <imgui_internal.h>

namespace moescope::app {
namespace {

bool is_modifier(ImGuiKey key) {
    return (key & ImGuiMod_Mask_) != 0 || (key >= ImGuiKey_LeftCtrl && key <= ImGuiKey_RightSuper);
}

/// How many of the events one frame may see.
int part_of_one_frame(const ImVector<ImGuiInputEvent>& queue) {
    bool pressed = false;
    for (int i = 0; i < queue.Size; ++i) {
        const ImGuiInputEvent& event = queue[i];
        if (event.Type != ImGuiInputEventType_Key) {
            continue;
        }
        if (!is_modifier(event.Key.Key)) {
            pressed = pressed || event.Key.Down;
        } else if (pressed) {
            return i;
        }
    }
    return queue.Size;
}

}  // namespace

void InputQueue::before_frame() {
    ImVector<ImGuiInputEvent>& queue = ImGui::GetCurrentContext()->InputEventsQueue;
    held_.resize(0);
    const int part = part_of_one_frame(queue);
    for (int i = part; i < queue.Size; ++i) {
        held_.push_back(queue[i]);
    }
    queue.resize(part);
}

void InputQueue::after_frame() {
    ImVector<ImGuiInputEvent>& queue = ImGui::GetCurrentContext()->InputEventsQueue;
    for (const ImGuiInputEvent& event : held_) {
        queue.push_back(event);
    }
    held_.resize(0);
}

bool InputQueue::waiting() const {
    return ImGui::GetCurrentContext()->InputEventsQueue.Size > 0;
}

}  // namespace moescope::app
