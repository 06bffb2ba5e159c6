// The data of runs as sessions name them: the built-in corpus by its name, else a whole path.
#pragma once

#include <string>

namespace moescope::node {

/// For who goes on from another folder.
std::string whole_path_of_data(const std::string& data);
bool data_exist(const std::string& data);
/// Throws base::Error.
void require_data(const std::string& data);

}  // namespace moescope::node
