// Which of the waiting key strokes a frame sees. Dear ImGui takes what fits into one frame and keeps the rest; two
// things it does not care for: that frames follow until nothing is kept, and that a modifier which goes up (or down)
// right after a key went down would change the chord in the frame that is to see it. GUI thread only.
#pragma once

#include <imgui.h>

struct ImGuiInputEvent;

namespace moescope::app {

class InputQueue {
 public:
    /// Call before ImGui::NewFrame(): holds back what belongs to a later frame.
    void before_frame();
    /// Call after ImGui::NewFrame(): puts it back behind what Dear ImGui kept itself.
    void after_frame();
    /// Whether key strokes or clicks wait for another frame.
    bool waiting() const;

 private:
    ImVector<ImGuiInputEvent> held_;
};

}  // namespace moescope::app
