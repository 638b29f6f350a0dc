from .schema import STUDENTS, DataError, DataWarning, Schema
from .data import GENERATOR, Generator, load_students, simulate_students
from .cohort import Cohort
