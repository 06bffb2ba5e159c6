#include "nodes/service/jobs/data_paths.hpp"

#include "engine/text/dataset_check.hpp"

namespace moescope::node {

std::string whole_path_of_data(const std::string& data) {
    return engine::whole_path_of_data(data);
}

bool data_exist(const std::string& data) {
    return engine::data_exist(data);
}

void require_data(const std::string& data) {
    engine::check_exists(data);
}

}  // namespace moescope::node
