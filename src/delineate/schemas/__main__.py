"""Write the schemas beside this file."""

from delineate.schemas import write_schemas

write_schemas()
